"""The process: wires the parts together, leads or waits, and ends in order.

```
watches (kopf) ─► mirror, queue          on every replica, so that a new leader starts warm
lease ─► prime the mirror ─► workers     on the leader alone; losing the lease ends the process
```
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from rag_operator import errors, metrics, names
from rag_operator.controller import scrape
from rag_operator.controller.loop import Loop
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.observe import Observer
from rag_operator.controller.queue import Backoff, Queue
from rag_operator.controller.reconcile import Reconciler, Tools
from rag_operator.controller.report import Reporter
from rag_operator.controller.resync import Resync
from rag_operator.controller.writer import Writer
from rag_operator.desired import images
from rag_operator.kube import access
from rag_operator.kube.client import Client, Fence, open_fence
from rag_operator.kube.lease import Lease, Timing
from rag_operator.settings import VERSION, Settings
from rag_operator.shell import surroundings
from rag_operator.shell.probes import Probes
from rag_operator.shell.watches import Watches

log = logging.getLogger(__name__)

_PRIME_AGAIN = 1.0
_LEAVE_WITHIN = 10.0  # seconds that watches and connections get to close


class App:
    """One replica of the operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mirror = Mirror()
        self._queue: Queue[Key] = Queue(Backoff(settings.backoff_first, settings.backoff_limit), time.monotonic)
        self._resync: Resync | None = None
        self._watches: Watches | None = None
        self._leading = False
        self._primed = False

    async def run(self) -> int:
        """Run until told to stop (0), or until leadership is lost (1)."""
        settings = self._settings
        reach = await access.load(settings.kubeconfig)
        async with AsyncExitStack() as stack:
            lease = await self._lease(stack, reach)
            client = await stack.enter_async_context(self._client(reach, lease.check if lease is not None else open_fence))
            probes = Probes(settings.metrics_host, settings.metrics_port, healthy=self._wrong, ready=self._not_ready, refresh=self._measure)
            await stack.enter_async_context(probes)
            log.info("started", extra={"port": probes.port, "version": VERSION, "server": reach.server})
            self._watches = Watches(settings, reach, self._mirror, self._queue)
            watching = asyncio.create_task(self._watches.run(), name="watches")
            working = asyncio.create_task(self._lead(lease, client), name="leader")
            return await self._until_one_ends(watching, working, lease)

    async def _until_one_ends(self, watching: asyncio.Task[None], working: asyncio.Task[None], lease: Lease | None) -> int:
        """The watches end when the process is told to stop; the work ends only when leadership is lost."""
        try:
            await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _leave_in_time()
            for task in (working, watching):
                task.cancel()
            results = await asyncio.gather(working, watching, return_exceptions=True)
            if lease is not None:
                await lease.release()
        for result in results:
            if isinstance(result, Exception):
                log.error("ended: %s", _causes(result))
                return 1
        return 0

    async def _lead(self, lease: Lease | None, client: Client) -> None:
        if lease is None:
            await self._work(client)
            return
        await lease.acquire()
        async with asyncio.TaskGroup() as group:
            group.create_task(_hold(lease))
            group.create_task(self._work(client))

    async def _work(self, client: Client) -> None:
        settings = self._settings
        self._leading = True
        self._resync = Resync(client, self._mirror, self._queue, settings.namespaces)
        while not self._primed:
            try:
                await self._resync.prime()
                self._primed = True
            except errors.ApiError as error:
                log.warning("failed to list the cluster: %s", error)
                await asyncio.sleep(_PRIME_AGAIN)
        log.info("working", extra={"pipelines": len(self._mirror.pipelines)})
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            scraper = await self._scraper(stack)
            observer = Observer(client, self._mirror, scraper)
            around = surroundings.discover(client, settings)
            loop = Loop(self._queue, self._mirror, self._reconciler(client, observer), observer, around)
            group.create_task(self._resync.run(settings.resync))
            group.create_task(loop.run(settings.workers))

    def _reconciler(self, client: Client, observer: Observer) -> Reconciler:
        settings = self._settings
        writer = Writer(client, self._mirror)
        tools = Tools(
            observer=observer,
            writer=writer,
            reporter=Reporter(client, writer, look_again=settings.look_again, upgrade=VERSION),
            templates=_templates(settings),
            clock=time.time,
            suffix=lambda: secrets.token_hex(4),
            deletion_give_up=settings.deletion_give_up,
        )
        return Reconciler(tools)

    async def _scraper(self, stack: AsyncExitStack) -> scrape.Scraper:
        if self._settings.gateway_scrape == "off":
            return scrape.unreachable
        return await stack.enter_async_context(scrape.HttpScraper(self._settings.gateway_scrape_timeout))

    async def _lease(self, stack: AsyncExitStack, reach: access.Access) -> Lease | None:
        settings = self._settings
        if not settings.leader_election:
            return None
        # Connections of its own: a renewal never waits behind other requests.
        brief = settings.renew_deadline / 2
        client = Client(reach, read_timeout=brief, write_timeout=brief, connections=2, agent=_agent(settings))
        await stack.enter_async_context(client)
        timing = Timing(settings.lease_duration, settings.renew_deadline, settings.retry_period)
        return Lease(client, (settings.namespace, settings.lease_name), settings.identity, timing)

    @asynccontextmanager
    async def _client(self, reach: access.Access, fence: Fence) -> AsyncIterator[Client]:
        settings = self._settings
        client = Client(
            reach,
            fence=fence,
            read_timeout=settings.read_timeout,
            write_timeout=settings.write_timeout,
            page_size=settings.page_size,
            connections=settings.connections,
            agent=_agent(settings),
        )
        async with client:
            yield client

    def _wrong(self) -> str | None:
        """What does not move; a replica that only waits has nothing but its watches to move."""
        if self._watches is not None and self._watches.broken:
            return "watches cannot be started"
        if not self._leading or not self._primed:
            return None
        if self._queue.age > self._settings.stalled_after:
            return f"the queue stands still for {self._queue.age:.0f} s"
        stalled = self._resync.stalled if self._resync is not None else []
        return f"watches bring nothing: {', '.join(stalled)}" if stalled else None

    def _not_ready(self) -> str | None:
        return "the cluster is not listed yet" if self._leading and not self._primed else None

    def _measure(self) -> None:
        metrics.QUEUE_DEPTH.set(self._queue.depth)
        metrics.QUEUE_AGE.set(self._queue.age)
        metrics.LEADING.set(int(self._leading))


async def _hold(lease: Lease) -> None:
    try:
        await lease.hold()
    finally:
        _leave_in_time()  # from here on, not from when the work has ended: it may be the work that does not let go


def _leave_in_time() -> None:
    """End the process even if something does not let go: who lost the Lease must be gone, so that a fresh replica takes its place."""
    timer = threading.Timer(_LEAVE_WITHIN, os._exit, [1])
    timer.daemon = True
    timer.start()


def _templates(settings: Settings) -> dict[str, str]:
    return {
        names.KIND_EMBEDDER: settings.image_embedder,
        images.EMBEDDER_GPU: settings.image_embedder_gpu,
        names.KIND_GATEWAY: settings.image_gateway,
        names.KIND_INDEXER: settings.image_indexer,
        names.KIND_MILVUS: settings.image_milvus,
        names.KIND_GENERATOR: settings.image_vllm,
    }


def _agent(settings: Settings) -> str:
    """Who asks, for the API server's audit log."""
    return f"rag-operator/{VERSION} ({settings.identity})"


def _causes(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_causes(one) for one in error.exceptions)
    return str(error) or type(error).__name__
