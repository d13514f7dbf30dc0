"""Comparing the mirror with the cluster: at the start of leading, and now and then, because a watch can lose events without a sign."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from rag_operator import errors, metrics, names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.queue import Queue
from rag_operator.kube.client import Client
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
        for resource in WATCHED:
            await self._take_in(resource)
        for key in self._mirror.keys():  # noqa: SIM118 - not a mapping
            self._queue.add(key)

    async def run(self, interval: float) -> None:
        """Compare every kind once in `interval` seconds, evenly spread."""
        while True:
            for resource in WATCHED:
                await asyncio.sleep(interval / len(WATCHED))
                try:
                    await self._compare(resource)
                except errors.ApiError as error:
                    log.warning("failed to compare with the cluster: %s", error, extra={"kind": resource.kind})

    async def _compare(self, resource: Resource) -> None:
        missed = await self._take_in(resource)
        self._behind[resource.kind] = self._behind.get(resource.kind, 0) + 1 if missed else 0
        if missed:
            metrics.WATCH_MISSED.labels(resource.kind).inc(len(missed))
        for key in missed:
            self._queue.add(key)

    async def _take_in(self, resource: Resource) -> set[Key]:
        """Put a complete list into the mirror, page by page; the pipelines for which it had something new."""
        known, present, changed, versions = self._mirror.uids(resource), set[str](), set[Key](), set[int]()
        labels = "" if resource is PIPELINES else names.LABEL_PIPELINE
        try:
            for namespace in self._namespaces:
                async for page in self._client.pages(resource, namespace, labels=labels):
                    versions.add(page.version)
                    present |= {body["metadata"]["uid"] for body in page.items}
                    changed |= {key for key in (self._mirror.put(resource, body) for body in page.items) if key is not None}
        except errors.NotFound:
            if not resource.optional:
                raise
        return changed | set(self._mirror.sweep(resource, known - present, as_of=min(versions, default=None)))
