"""The routing table flips 200 times under load: nothing fails, nothing mixes, and no epoch in use is ever reported as done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from cluster.api_only import ApiServer
from doubles.cluster_table import ClusterTable
from doubles.corpus import LARGE, SMALL, Indexed, route, table, text_of
from doubles.embedder import EmbedderDouble
from doubles.gateway import LONG_PATIENCE, GatewayProcess
from doubles.generator import GeneratorDouble
from rag_runtime.contracts.routing import RoutingTable

pytestmark = pytest.mark.asyncio(loop_scope="session")

Indexes = tuple[Indexed, Indexed]
CLIENTS = 16  # half ask for passages, half read streams
FLIPS = 200
ANSWERS = 20  # of each kind, at least: a machine on which a flip is quicker than an answer flips more often
WEIGHTS = ((100, 0), (95, 5), (50, 50), (0, 100))


class Watcher:
    """Which epochs have a stream that a client is still reading."""

    def __init__(self) -> None:
        self.open: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()
        self.broken: list[str] = []

    @asynccontextmanager
    async def reading(self, epoch: int) -> AsyncIterator[None]:
        self.open[epoch] += 1
        try:
            yield
        finally:
            self.open[epoch] -= 1

    def fewest(self) -> int:
        return min(self.answers[kind] for kind in ("a", "b", "stream"))

    def oldest(self) -> int | None:
        return min((epoch for epoch, count in self.open.items() if count), default=None)


async def _passages(http: aiohttp.ClientSession, gateway: GatewayProcess, watcher: Watcher, expected: dict[str, tuple[str, str]]) -> None:
    """One question on the preview port, which chooses by weight when no revision is named, and says what it searched."""
    asked = {"query": text_of(watcher.answers.total() % 30, 1), "k": 2}
    async with http.post(gateway.preview + "/v1/retrieve", json=asked) as response:
        body = await response.json()
        if response.status != 200:
            watcher.broken.append(f"{response.status} {body}")
            return
        said = response.headers
        searched = (said["x-rag-collection"], said["x-rag-dimension"])
        if searched != expected[said["x-rag-revision"]] or body["revision"] != said["x-rag-revision"]:
            watcher.broken.append(f"{said['x-rag-revision']} searched {searched}")
        watcher.answers[said["x-rag-revision"]] += 1


async def _stream(http: aiohttp.ClientSession, gateway: GatewayProcess, watcher: Watcher, session: str) -> None:
    asked = {"messages": [{"role": "user", "content": "why?"}], "stream": True}
    async with http.post(gateway.public + "/v1/chat/completions", json=asked, headers={"x-rag-session": session}) as response:
        if response.status != 200 or "x-rag-mode" in response.headers:
            watcher.broken.append(f"{response.status} {await response.text()}")
            return
        async with watcher.reading(int(response.headers["x-rag-epoch"])):
            text = await response.text()
        if "[DONE]" not in text:
            watcher.broken.append(text[-200:])
        watcher.answers["stream"] += 1


async def _client(
    number: int, gateway: GatewayProcess, watcher: Watcher, expected: dict[str, tuple[str, str]], stop: asyncio.Event
) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        while not stop.is_set():
            if number % 2:
                await _passages(http, gateway, watcher, expected)
            else:
                await _stream(http, gateway, watcher, f"client-{number}")


async def test_two_hundred_flips_under_load_fail_nothing_and_mix_nothing(  # noqa: PLR0917
    indexes: Indexes, small: EmbedderDouble, large: EmbedderDouble, generator: GeneratorDouble, api_server: ApiServer, tmp_path: Path
) -> None:
    generator.pieces = tuple(f"word {i} " for i in range(20))
    expected = {"a": (indexes[0].collection, str(SMALL)), "b": (indexes[1].collection, str(LARGE))}
    watcher, stop = Watcher(), asyncio.Event()

    def flipped(epoch: int) -> RoutingTable:
        a, b = WEIGHTS[epoch % len(WEIGHTS)]
        routes = (route("a", indexes[0], small, generator, weight=a), route("b", indexes[1], large, generator, weight=b))
        return table(epoch, *routes, salt=f"rollout-{epoch // 10}")

    async with ClusterTable(api_server, "flips") as cluster:
        await cluster.create(flipped(1))
        # The default patience: here it is load that makes answers slow, and slow answers must not fail either.
        async with GatewayProcess(tmp_path, **cluster.environment) as gateway:
            await gateway.serving(1)
            clients = [asyncio.create_task(_client(number, gateway, watcher, expected, stop)) for number in range(CLIENTS)]
            async with aiohttp.ClientSession() as scraper:
                epoch = 1
                while not watcher.broken and (epoch <= FLIPS or watcher.fewest() < ANSWERS):
                    epoch += 1
                    await cluster.publish(flipped(epoch))
                    await _acknowledged(gateway, scraper, watcher, epoch)
            stop.set()
            await asyncio.gather(*clients)
            rejected = await gateway.metric("rag_gateway_tables_rejected_total")
            await gateway.reaches("rag_gateway_epoch_oldest_in_use", epoch)

    assert watcher.broken == []
    assert rejected == 0


async def _acknowledged(gateway: GatewayProcess, scraper: aiohttp.ClientSession, watcher: Watcher, epoch: int) -> None:
    """Wait for the epoch to be served; at every look, no stream that was open before it may be older than what is reported."""
    while True:
        before = watcher.oldest()
        served, oldest = await gateway.metrics(("rag_gateway_epoch_served", "rag_gateway_epoch_oldest_in_use"), scraper)
        after = watcher.oldest()
        # Open before and after the scrape means open during it.
        if before is not None and before == after and oldest > before:
            watcher.broken.append(f"reported {oldest} while a stream of epoch {before} ran")
        if served >= epoch:
            return


async def test_an_epoch_stays_in_use_for_as_long_as_its_stream_runs(
    indexes: Indexes, small: EmbedderDouble, large: EmbedderDouble, generator: GeneratorDouble, tmp_path: Path
) -> None:
    generator.gate.clear()
    async with GatewayProcess(tmp_path, **LONG_PATIENCE) as gateway, aiohttp.ClientSession() as http:
        gateway.publish(table(5, route("a", indexes[0], small, generator)))
        await gateway.serving(5)
        asked = {"messages": [{"role": "user", "content": "why?"}], "stream": True}
        async with http.post(gateway.public + "/v1/chat/completions", json=asked) as response:
            await response.content.readuntil(b"The answer")
            for epoch in (6, 7):
                gateway.publish(table(epoch, route("b", indexes[1], large)))
                await gateway.serving(epoch)

            assert await gateway.metric("rag_gateway_epoch_oldest_in_use") == 5

            generator.gate.set()
            rest = await response.text()
        assert response.headers["x-rag-revision"] == "a"
        assert "[DONE]" in rest
        await gateway.reaches("rag_gateway_epoch_oldest_in_use", 7)
