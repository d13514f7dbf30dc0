"""Workers: each takes a pipeline from the queue, passes over it once, and says when it is due again."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from rag_operator import errors, metrics
from rag_operator.controller import failures
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.observe import Capabilities, Observer
from rag_operator.controller.queue import Queue
from rag_operator.controller.reconcile import Outcome, Reconciler
from rag_operator.desired.context import Surroundings

log = logging.getLogger(__name__)

_CAPABILITIES_EVERY = 60.0


class Loop:
    """Runs passes until it is cancelled, or leadership is lost."""

    def __init__(self, queue: Queue[Key], mirror: Mirror, reconciler: Reconciler, observer: Observer, surroundings: Surroundings) -> None:
        self._queue, self._mirror, self._reconciler = queue, mirror, reconciler
        self._observer, self._surroundings = observer, surroundings
        self._capabilities: Capabilities | None = None  # nobody asked yet
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
            began = time.monotonic()
            try:
                offered = await self._offered()
                outcome = await self._reconciler.reconcile(key, offered, self._surrounded(offered))
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
            self._queue.forget(key)
            self._mirror.forget(key)
            self._reconciler.forget(key)
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

    async def _offered(self) -> Capabilities:
        """What the cluster offers. Until the server has said so no pass begins: it would take away what seems not to be offered."""
        async with self._looking:
            now = time.monotonic()
            if self._capabilities is None or now - self._looked > _CAPABILITIES_EVERY:
                try:
                    self._capabilities = await self._observer.capabilities()
                except errors.ApiError:
                    if self._capabilities is None:
                        raise
                self._looked = now
            return self._capabilities

    def _surrounded(self, offered: Capabilities) -> Surroundings:
        return replace(self._surroundings, pod_monitors=offered.pod_monitors)
