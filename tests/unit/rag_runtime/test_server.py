"""The listeners' order of start and end, over real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rag_runtime.health import Health
from rag_runtime.server import Listener, Stop, serve

HOST = "127.0.0.1"


class Service:
    """An application whose answers wait for `release`, served with short times."""

    def __init__(self, *, drain: float = 0.0, grace: float = 20.0) -> None:
        self.health, self.stop = Health(), Stop()
        self.entered, self.release, self.load = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.left = False
        self.ports: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
        app = Starlette(routes=[Route("/slow", self._slow), Route("/fast", self._fast), Route("/echo", self._echo, methods=["POST"])])
        self.task = asyncio.create_task(
            serve(
                [Listener("api", app, 0, HOST)],
                health=self.health,
                stop=self.stop,
                metrics_port=0,
                metrics_host=HOST,
                lifespan=self._lifespan,
                grace_seconds=grace,
                drain_seconds=drain,
                on_bound=self.ports.set_result,
            )
        )

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        await self.load.wait()
        yield
        self.left = True

    async def _slow(self, _: Request) -> Response:
        self.entered.set()
        await self.release.wait()
        return PlainTextResponse("done")

    async def _fast(self, _: Request) -> Response:
        return PlainTextResponse("fast")

    async def _echo(self, request: Request) -> Response:
        return PlainTextResponse(await request.body())

    async def ready(self) -> tuple[str, str]:
        self.load.set()
        ports = await self.ports
        return f"http://{HOST}:{ports['api']}", f"http://{HOST}:{ports['metrics']}"


async def not_ready(client: aiohttp.ClientSession, metrics: str) -> None:
    while await status(client, f"{metrics}/readyz") != 503:
        pass


async def status(client: aiohttp.ClientSession, url: str) -> int:
    async with client.get(url) as answer:
        await answer.read()
        return answer.status


async def stopped_while_it_answers(service: Service, client: aiohttp.ClientSession, api: str) -> asyncio.Task[aiohttp.ClientResponse]:
    """What is answered to a request that was under way when the service was told to stop."""
    answer = asyncio.create_task(client.get(f"{api}/slow"))
    await service.entered.wait()
    service.stop.request()
    return answer


async def test_a_request_in_flight_is_finished_after_the_stop_and_then_the_lifespan_is_left() -> None:
    service = Service()
    api, metrics = await service.ready()
    async with aiohttp.ClientSession() as client:
        answer = await stopped_while_it_answers(service, client, api)
        await not_ready(client, metrics)
        assert not service.left
        service.release.set()
        assert await (await answer).text() == "done"
    await service.task
    assert service.left


async def test_a_draining_pod_is_alive_and_not_ready_and_still_answers_with_connection_close() -> None:
    service = Service(drain=60, grace=120)
    api, metrics = await service.ready()
    async with aiohttp.ClientSession() as client:
        assert await status(client, f"{metrics}/readyz") == 200
        async with client.get(f"{api}/fast") as early:
            assert "connection" not in early.headers
        service.stop.request()
        await not_ready(client, metrics)
        assert await status(client, f"{metrics}/healthz") == 200
        async with client.get(f"{metrics}/readyz") as answer:
            assert (answer.status, (await answer.json())["reasons"]) == (503, {"server": "shutting down"})
        async with client.get(f"{api}/fast") as late:
            assert (late.status, late.headers["connection"]) == (200, "close")
    service.stop.request()  # a second signal ends the wait
    await service.task


async def test_an_answer_that_begins_while_draining_says_connection_close_also_when_its_request_came_before() -> None:
    service = Service(drain=60, grace=120)
    api, metrics = await service.ready()
    async with aiohttp.ClientSession() as client:
        answer = await stopped_while_it_answers(service, client, api)
        await not_ready(client, metrics)
        service.release.set()
        async with await answer as late:
            assert (await late.text(), late.headers.get("connection")) == ("done", "close")
    service.stop.request()
    await service.task


@pytest.mark.parametrize(("grace", "expected"), [(30.0, 3.0), (4.0, 3.0), (2.0, 1.0), (0.5, 0.0)])
async def test_a_short_grace_period_is_not_spent_on_draining_alone(grace: float, expected: float) -> None:
    service = Service(drain=3.0, grace=grace)
    await service.ready()
    drained: list[float] = []

    async def at_once(seconds: float) -> None:
        drained.append(seconds)

    service.stop.drained = at_once  # type: ignore[method-assign]
    service.stop.request()
    await service.task
    assert drained == [expected]


async def test_a_request_that_outlives_the_grace_period_is_cut_off() -> None:
    service = Service(grace=0)
    api, _ = await service.ready()
    async with aiohttp.ClientSession() as client:
        answer = await stopped_while_it_answers(service, client, api)
        await asyncio.wait_for(service.task, 10)
        async with await answer as cut:
            assert cut.status == 500


async def test_a_stop_before_the_start_is_complete_ends_at_once() -> None:
    service = Service()
    while not service.task.done() and not service.health.started:
        service.stop.request()
        await asyncio.sleep(0)
    await asyncio.wait_for(service.task, 10)
    assert not service.health.started


async def test_a_failing_start_is_raised_and_nothing_keeps_listening() -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise RuntimeError("no weights")
        yield

    with pytest.raises(RuntimeError, match="no weights"):
        await serve([], health=Health(), stop=Stop(), metrics_port=0, metrics_host=HOST, lifespan=broken)


async def test_a_port_in_use_is_said() -> None:
    service = Service()
    _, metrics = await service.ready()
    with pytest.raises(OSError, match="in use"):
        await serve([], health=Health(), stop=Stop(), metrics_port=int(metrics.rsplit(":", 1)[1]), metrics_host=HOST)
    service.stop.request()
    await service.task


OFFERING = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to a service, for what HTTP libraries do not send. The block has ten seconds."""
    service = Service()
    api, _ = await service.ready()
    reader, writer = await asyncio.open_connection(HOST, int(api.rpartition(":")[2]))
    async with asyncio.timeout(10):
        yield reader, writer
    writer.close()
    service.stop.request()
    await service.task


@pytest.mark.parametrize("body", [b"content-length: 5\r\n\r\nhello", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"])
@pytest.mark.parametrize("size", [7, 1000])
async def test_a_client_that_offers_http2_with_each_request_is_answered_in_http1(body: bytes, size: int) -> None:
    request = b"POST /echo HTTP/1.1\r\nhost: x\r\n" + OFFERING + body
    async with connected() as (reader, writer):
        for _ in range(2):  # on one connection
            for start in range(0, len(request), size):
                writer.write(request[start : start + size])
                await asyncio.sleep(0)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(5) == b"hello"


async def test_a_client_that_takes_the_server_for_a_proxy_is_refused() -> None:
    async with connected() as (reader, writer):
        writer.write(b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_head_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET /fast HTTP/1.1\r\nhost: x\r\nx-long: ")
        refused = asyncio.create_task(reader.readuntil(b"\r\n"))
        for _ in range(64):
            writer.write(b"x" * 2**14)
            await asyncio.sleep(0)
            if refused.done():
                break
        assert (await refused).startswith(b"HTTP/1.1 400 ")
