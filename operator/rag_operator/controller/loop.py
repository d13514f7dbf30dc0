"""Workers: each takes a pipeline from the queue, passes over it once, and says when it is due again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from rag_operator import errors, metrics
from rag_operator.controller import failures
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.observe import Capabilities, Observer
from rag_operator.controller.queue import Queue
from rag_operator.controller.reconcile import Outcome, Reconciler
from rag_operator.desired.context import Surroundings

log = logging.getLogger(__name__)

LookAround = Callable[[], Awaitable[Surroundings]]
_CAPABILITIES_EVERY = 60.0


class Around(NamedTuple):
    """What the cluster is like: what it offers, and how it is laid out."""

    offered: Capabilities
    surroundings: Surroundings


class Loop:
    """Runs passes until it is cancelled, or leadership is lost."""

    def __init__(self, queue: Queue[Key], mirror: Mirror, reconciler: Reconciler, observer: Observer, look_around: LookAround) -> None:
        self._queue, self._mirror, self._reconciler = queue, mirror, reconciler
        self._observer, self._look_around = observer, look_around
        self._around: Around | None = None  # nobody asked yet
        self._looked = float("-inf")
        self._looking = asyncio.Lock()

    async def run(self, workers: int) -> None:
        """Work on so many pipelines at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            if key.namespace in self._mirror.out_of_reach:
                self._forget(key)  # it comes again with its whole namespace
                continue
            began = time.monotonic()
            try:
                around = await self._known()
                outcome = await self._reconciler.reconcile(key, around.offered, around.surroundings)
            except errors.LeadershipLost:
                raise
            except errors.ApiError as error:
                outcome = Outcome(True, error=error)
            except Exception as error:
                log.exception("a pass failed", extra={"pipeline": key.name, "namespace": key.namespace})
                outcome = Outcome(True, error=error)
            metrics.RECONCILE_SECONDS.observe(time.monotonic() - began)
            self._settle(key, outcome)

    def _settle(self, key: Key, outcome: Outcome) -> None:
        if not outcome.exists:
            metrics.RECONCILES.labels("gone").inc()
            self._forget(key)
        elif outcome.error is not None:
            found = failures.verdict(outcome.error)
            metrics.RECONCILES.labels("failed").inc()
            metrics.ERRORS.labels(type(outcome.error).__name__).inc()
            wait = self._queue.failed(key, at_least=found.at_least)
            text = {"pipeline": key.name, "namespace": key.namespace, "again_after": round(wait, 2)}
            log.warning("a pass did not reach its end: %s", outcome.error, extra=text)
        else:
            metrics.RECONCILES.labels("done").inc()
            self._queue.done(key, again_after=0.0 if self._mirror.overtaken(key) else outcome.again_after)

    def _forget(self, key: Key) -> None:
        self._queue.forget(key)
        self._mirror.forget(key)
        self._reconciler.forget(key)

    async def _known(self) -> Around:
        """What the cluster is like. Until the server has said so no pass begins: it would take away what seems not to be offered."""
        async with self._looking:
            now = time.monotonic()
            if self._around is None or now - self._looked > _CAPABILITIES_EVERY:
                try:
                    self._around = self._moved(self._around, await self._look())
                except errors.ApiError:
                    if self._around is None:
                        raise
                self._looked = now
            return self._around

    async def _look(self) -> Around:
        offered, surroundings = await asyncio.gather(self._observer.capabilities(), self._look_around())
        return Around(offered, replace(surroundings, pod_monitors=offered.pod_monitors))

    def _moved(self, before: Around | None, now: Around) -> Around:
        """What is known from now on. An API server that is elsewhere concerns the policies of every pipeline."""
        if before is None:
            return now
        told = now.surroundings if now.surroundings.api_server_cidrs else before.surroundings  # untold, it is where it was
        after = replace(
            before.surroundings,
            pod_monitors=now.offered.pod_monitors,
            api_server_cidrs=told.api_server_cidrs,
            api_server_ports=told.api_server_ports,
        )
        if after != before.surroundings:
            for key in self._mirror.pipelines:
                self._queue.add(key)
        return Around(now.offered, after)
