"""Several HTTP listeners in one process, with a shutdown that loses no request.

Order at start: the metrics port answers first, then `lifespan` is entered (load a model, connect), then the serving ports open and the
pod is ready. Order at the end (SIGTERM or SIGINT): not ready; for `drain_seconds` connections are still accepted, each answered with
`connection: close`, because load balancers learn late; then the serving ports close and requests in flight finish, all within
`grace_seconds`; then `lifespan` is left and the metrics port closes last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_runtime import health as health_routes
from rag_runtime import http1
from rag_runtime.health import Health

logger = logging.getLogger(__name__)

# Kept from the grace period for leaving `lifespan` and closing the metrics port, before the kubelet kills.
RESERVE_SECONDS = 1.0
# Longer than the idle time of common clients, so that it is the client who closes: a server that closes first races with a request.
KEEP_ALIVE_SECONDS = 75

Lifespan = Callable[[], AbstractAsyncContextManager[object]]
OnBound = Callable[[dict[str, int]], None]


@dataclass(frozen=True)
class Listener:
    """An application on a port; port 0 picks a free one. Without a host it listens on every address of both families."""

    name: str
    app: ASGIApp
    port: int
    host: str | None = None


class Stop:
    """Asks `serve` to end; the second request ends the draining wait."""

    def __init__(self) -> None:
        self._first = asyncio.Event()
        self._second = asyncio.Event()

    def request(self) -> None:
        """Called by signal handlers and tests, in the event loop."""
        (self._second if self._first.is_set() else self._first).set()

    async def requested(self) -> None:
        """Returns when the end was asked for."""
        await self._first.wait()

    async def drained(self, seconds: float) -> None:
        """Returns after `seconds`, or at the second request."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._second.wait()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us and says when it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind as uvicorn does, then tell."""
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _CloseWhileDraining:
    """Tells clients of a draining pod to take their next request elsewhere."""

    def __init__(self, app: ASGIApp, health: Health) -> None:
        self._app = app
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if self._health.draining and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        return await self._app(scope, receive, closing)


def run(serving: Sequence[Listener], **options: Any) -> None:
    """`serve` in a uvloop event loop until SIGTERM or SIGINT. Takes the keyword arguments of `serve`."""

    async def main() -> None:
        stop = Stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.request)
        await serve(serving, stop=stop, **options)

    import uvloop

    uvloop.run(main())


@dataclass(frozen=True)
class _Plan:
    """What `serve` was asked for, checked and in one piece."""

    serving: tuple[Listener, ...]
    health: Health
    stop: Stop
    lifespan: Lifespan
    grace_seconds: float
    drain_seconds: float
    on_bound: OnBound | None

    @property
    def in_flight_seconds(self) -> float:
        return max(self.grace_seconds - self.drain_seconds - RESERVE_SECONDS, 1.0)


async def serve(
    serving: Sequence[Listener],
    *,
    health: Health,
    stop: Stop,
    metrics_port: int,
    metrics_host: str | None = None,
    lifespan: Lifespan = nullcontext,
    grace_seconds: float = 30.0,
    drain_seconds: float = 3.0,
    on_bound: OnBound | None = None,
) -> None:
    """Serve until `stop`. `on_bound` gets the real port of each listener (`metrics` too) once all answer.

    Raises what `lifespan` or a listener raises; a port in use is `OSError`.
    """
    wrapped = tuple(replace(each, app=_CloseWhileDraining(each.app, health)) for each in serving)
    drain = min(drain_seconds, max(grace_seconds - RESERVE_SECONDS, 0.0))
    plan = _Plan(wrapped, health, stop, lifespan, grace_seconds, drain, on_bound)
    metrics = Listener("metrics", health_routes.app(health), metrics_port, metrics_host)
    async with _listening((metrics,), 1.0) as running:
        work = asyncio.create_task(_answer(plan, running.ports))
        await _until_done_or_stopped_early(work, plan)


async def _until_done_or_stopped_early(work: asyncio.Task[None], plan: _Plan) -> None:
    """While a pod still starts there is nothing to finish: a stop then cancels the start."""
    asked = asyncio.create_task(plan.stop.requested())
    try:
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done() and not plan.health.started:
            logger.info("stopped before it was ready")
            work.cancel()
            await asyncio.wait({work})
        else:
            await work
    finally:
        asked.cancel()
        work.cancel()


async def _answer(plan: _Plan, metrics_ports: dict[str, int]) -> None:
    async with plan.lifespan(), _listening(plan.serving, plan.in_flight_seconds) as running:
        ports = {**metrics_ports, **running.ports}
        plan.health.started = True
        logger.info("ready", extra={"ports": ports})
        if plan.on_bound:
            plan.on_bound(ports)
        await _first(plan.stop.requested(), running.ended())
        plan.health.draining = True
        logger.info("draining", extra={"drain_seconds": plan.drain_seconds, "grace_seconds": plan.grace_seconds})
        await plan.stop.drained(plan.drain_seconds)


class _Running:
    """Listeners that answer."""

    def __init__(self, listeners: Sequence[Listener], in_flight_seconds: float) -> None:
        sockets = [_bind(listener) for listener in listeners]
        self.ports = {listener.name: bound.getsockname()[1] for listener, bound in zip(listeners, sockets, strict=True)}
        self._servers = [_Server(_config(listener, in_flight_seconds)) for listener in listeners]
        self._tasks = [asyncio.create_task(server.serve([bound])) for server, bound in zip(self._servers, sockets, strict=True)]

    async def answering(self) -> None:
        """Returns when each accepts connections; raises what a listener's start raised."""
        for server, task in zip(self._servers, self._tasks, strict=True):
            await _first(server.accepting.wait(), asyncio.shield(task))

    async def ended(self) -> None:
        """Returns, or raises, when a listener ended by itself."""
        await _first(*(asyncio.shield(task) for task in self._tasks)) if self._tasks else await asyncio.Event().wait()

    async def close(self) -> None:
        """Accept nothing new and let requests in flight finish in their time."""
        for server in self._servers:
            server.should_exit = True
        await asyncio.gather(*self._tasks)
        # Requests cut off at the end of the grace period are only cancelled by uvicorn; let them say goodbye.
        if cut := [task for server in self._servers for task in server.server_state.tasks]:
            await asyncio.wait(cut)


@asynccontextmanager
async def _listening(listeners: Sequence[Listener], in_flight_seconds: float) -> AsyncIterator[_Running]:
    running = _Running(listeners, in_flight_seconds)
    try:
        await running.answering()
        yield running
    finally:
        await running.close()


def _config(listener: Listener, in_flight_seconds: float) -> uvicorn.Config:
    return uvicorn.Config(
        listener.app,
        http=http1.Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(in_flight_seconds),
    )


def _bind(listener: Listener) -> socket.socket:
    if listener.host is not None:
        return socket.create_server((listener.host, listener.port), backlog=2048)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", listener.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
    return socket.create_server(("0.0.0.0", listener.port), backlog=2048)


async def _first(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
