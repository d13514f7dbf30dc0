"""Comparing the mirror with the cluster: at the start of leading, and now and then, because a watch can lose events without a sign.

A namespace of several in which not even pipelines may be listed is out of reach: what is known of it is kept, nothing of it is worked on,
and the others go on. When it may be read again it is taken in whole before its pipelines are worked on: a view without, say, Jobs would
make them again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from rag_operator import errors, metrics, names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.queue import Queue
from rag_operator.kube.client import Client
from rag_operator.kube.reach import LEFT_ALONE, is_out_of_reach
from rag_operator.kube.resources import PIPELINES, WATCHED, Resource

log = logging.getLogger(__name__)

# A watch that was behind in so many comparisons in a row brings nothing any more.
_STALLED = 3


class Resync:
    """Lists every kind of one or all namespaces."""

    def __init__(self, client: Client, mirror: Mirror, queue: Queue[Key], namespaces: Sequence[str]) -> None:
        self._client, self._mirror, self._queue = client, mirror, queue
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._behind: dict[str, int] = {}

    @property
    def stalled(self) -> list[str]:
        """Kinds whose watch lost something every time we looked."""
        return sorted(kind for kind, times in self._behind.items() if times >= _STALLED)

    async def prime(self) -> None:
        """Fill the mirror and enqueue every pipeline. Raises `ApiError` when a kind could not be listed."""
        await self._look_again()
        for resource in WATCHED:
            await self._take_in_all(resource)
        for key in self._mirror.keys():  # noqa: SIM118 - not a mapping
            self._queue.add(key)

    async def run(self, interval: float) -> None:
        """Compare every kind once in `interval` seconds, evenly spread."""
        while True:
            for resource in WATCHED:
                await asyncio.sleep(interval / len(WATCHED))
                await self._look_again()
                try:
                    await self._compare(resource)
                except errors.ApiError as error:
                    log.warning("failed to compare with the cluster: %s", error, extra={"kind": resource.kind})

    async def _compare(self, resource: Resource) -> None:
        missed = await self._take_in_all(resource)
        self._behind[resource.kind] = self._behind.get(resource.kind, 0) + 1 if missed else 0
        if missed:
            metrics.WATCH_MISSED.labels(resource.kind).inc(len(missed))

    async def _look_again(self) -> None:
        """Go on with namespaces that are within reach again."""
        for namespace in sorted(self._mirror.out_of_reach):
            try:
                if not await is_out_of_reach(self._client, namespace):
                    await self._go_on(namespace)
            except errors.ApiError as error:
                log.warning("failed to look into a namespace again: %s", error, extra={"namespace": namespace})

    async def _go_on(self, namespace: str) -> None:
        for resource in WATCHED:
            await self._take_in(resource, namespace)
        self._mirror.out_of_reach.discard(namespace)
        log.info("a namespace is within reach again", extra={"namespace": namespace})
        for key in self._mirror.keys():  # noqa: SIM118 - not a mapping
            if key.namespace == namespace:
                self._queue.add(key)

    async def _take_in_all(self, resource: Resource) -> set[Key]:
        """Take in a kind of every namespace within reach; the pipelines for which there was something new."""
        changed = set[Key]()
        for namespace in self._namespaces:
            if namespace in self._mirror.out_of_reach:
                continue
            try:
                changed |= await self._take_in(resource, namespace)
            except errors.Forbidden:
                if namespace is None or not await self._leave_alone(namespace):
                    raise
        return changed

    async def _leave_alone(self, namespace: str) -> bool:
        """Give up a namespace that is out of reach, but never the last one: then there is nothing to go on with, and the error is told."""
        others = len(self._namespaces) - len(self._mirror.out_of_reach) - 1
        if not others or not await is_out_of_reach(self._client, namespace):
            return False
        self._mirror.out_of_reach.add(namespace)
        log.warning(LEFT_ALONE, namespace, extra={"namespace": namespace})
        return True

    async def _take_in(self, resource: Resource, namespace: str | None) -> set[Key]:
        """Put a complete list into the mirror, page by page, and enqueue the pipelines for which it had something new; which these are."""
        known, present, changed, versions = self._mirror.uids(resource, namespace), set[str](), set[Key](), set[int]()
        labels = "" if resource is PIPELINES else names.LABEL_PIPELINE
        try:
            async for page in self._client.pages(resource, namespace, labels=labels):
                versions.add(page.version)
                present |= {body["metadata"]["uid"] for body in page.items}
                changed |= self._enqueued(self._mirror.put(resource, body) for body in page.items)
        except errors.NotFound:
            if not resource.optional:
                raise
        return changed | self._enqueued(self._mirror.sweep(resource, known - present, as_of=min(versions, default=None)))

    def _enqueued(self, found: Iterable[Key | None]) -> set[Key]:
        """What was found counts as known from now on, so it is enqueued at once: the next page, or namespace, may fail."""
        keys = {key for key in found if key is not None}
        for key in keys:
            self._queue.add(key)
        return keys
