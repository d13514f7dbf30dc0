"""What gateways report, and what is counted from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rag_operator.controller.analysis import Baselines
from rag_operator.controller.scrape import GatewayReading, HttpScraper, Samples, parse, read
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import PODS
from rag_operator.model.observed import GatewayPod
from rag_runtime.contracts import pods

TEXT = """# HELP rag_gateway_epoch_served newest
# TYPE rag_gateway_epoch_served gauge
rag_gateway_epoch_served 41
rag_gateway_epoch_oldest_in_use 40
rag_gateway_requests_total{revision="a",endpoint="chat",outcome="ok"} 90
rag_gateway_requests_total{revision="a",endpoint="chat",outcome="error"} 10
rag_gateway_retrieval_seconds_bucket{revision="a",le="0.1"} 90
rag_gateway_retrieval_seconds_bucket{revision="a",le="0.2"} 100
rag_gateway_retrieval_seconds_bucket{revision="a",le="+Inf"} 100
python_info{version="3.13"} 1
"""


def pod(name: str, address: str | None, *, deleting: bool = False) -> Child:
    meta: dict[str, Any] = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}]}
    return reduce(PODS, {"metadata": meta, "status": {**status, "podIP": address} if address else status})


async def test_every_pod_is_asked_terminating_ones_too_and_one_that_does_not_answer_is_named() -> None:
    async def scrape(address: str) -> Samples | None:
        return parse(TEXT) if address == "10.0.0.1" else None

    found = await read([pod("b", "10.0.0.2", deleting=True), pod("a", "10.0.0.1"), pod("c", None)], scrape)
    assert found.pods == (
        GatewayPod("a", ready=True, reachable=True, epoch_served=41, epoch_oldest=40),
        GatewayPod("b", ready=True, terminating=True),
        GatewayPod("c", ready=True),
    )


@pytest.fixture
async def page(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], None]]:
    """Says what the pod at 127.0.0.1 answers."""
    texts = [""]

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=texts[-1])

    app = web.Application()
    app.router.add_get("/metrics", answer)
    async with TestServer(app) as server:
        monkeypatch.setattr(pods, "METRICS_PORT", server.port)
        yield texts.append


def padded(size: int) -> str:
    """The pod's samples after so much that is not the gateway's own."""
    return "# padding\n" * (size // 10) + TEXT


async def test_a_page_that_comes_in_parts_is_read_to_its_end(page: Callable[[str], None]) -> None:
    page(padded(1_000_000))
    async with HttpScraper(10) as scrape:
        assert await scrape("127.0.0.1") == parse(TEXT)


async def test_a_page_that_is_too_long_is_not_read_by_half(page: Callable[[str], None]) -> None:
    page(padded(3_000_000))
    async with HttpScraper(10) as scrape:
        assert await scrape("127.0.0.1") is None


@pytest.mark.parametrize("value", ["NaN", "+Inf", "1e", "-2", "1e300", "many"])
async def test_a_page_with_a_number_that_no_gateway_counts_is_not_read(page: Callable[[str], None], value: str) -> None:
    page(f"{TEXT}rag_gateway_epoch_served {value}\n")
    async with HttpScraper(10) as scrape:
        assert await scrape("127.0.0.1") is None


async def test_a_gateway_that_has_no_table_yet_is_read(page: Callable[[str], None]) -> None:
    page("rag_gateway_epoch_served -1")
    async with HttpScraper(10) as scrape:
        assert await scrape("127.0.0.1") == {("rag_gateway_epoch_served", ()): -1.0}


@pytest.mark.parametrize("limit", ["NaN", "1e", "soon"])
async def test_a_page_with_a_bucket_that_has_no_limit_is_not_read(page: Callable[[str], None], limit: str) -> None:
    page(f'{TEXT}rag_gateway_retrieval_seconds_bucket{{revision="a",le="{limit}"}} 1\n')
    async with HttpScraper(10) as scrape:
        assert await scrape("127.0.0.1") is None


def test_only_the_gateways_own_samples_are_read() -> None:
    assert {name for name, _ in parse(TEXT)} == {
        "rag_gateway_epoch_served",
        "rag_gateway_epoch_oldest_in_use",
        "rag_gateway_requests_total",
        "rag_gateway_retrieval_seconds_bucket",
    }


def reading(text: str = TEXT, pods: tuple[GatewayPod, ...] = (GatewayPod("a", ready=True, reachable=True),)) -> GatewayReading:
    return GatewayReading(pods, {"a": parse(text)})


def test_counts_are_those_since_the_step_was_first_looked_at() -> None:
    baselines = Baselines(lambda: 1000.0)
    first = baselines.read("step", reading(), "a", "b")
    assert first is not None
    assert first.stable.requests == 0
    later = TEXT.replace('outcome="ok"} 90', 'outcome="ok"} 120').replace('outcome="error"} 10', 'outcome="error"} 11')
    again = baselines.read("step", reading(later), "a", "b")
    assert again is not None
    assert (again.stable.requests, again.stable.errors, again.candidate.requests) == (31, 1, 0)


def test_a_pod_that_began_to_count_anew_counts_from_nothing() -> None:
    baselines = Baselines(lambda: 1000.0)
    baselines.read("step", reading(), "a", "b")
    restarted = baselines.read("step", reading('rag_gateway_requests_total{revision="a",endpoint="chat",outcome="ok"} 7'), "a", "b")
    assert restarted is not None
    assert restarted.stable.requests == 7


def test_what_a_pod_that_is_gone_counted_stays_counted_and_counting_began_with_the_first_look() -> None:
    times = iter((1000.0, 2000.0, 3000.0))
    baselines = Baselines(lambda: next(times))
    baselines.read("step", reading(), "a", "b")
    baselines.read("step", reading(TEXT.replace('outcome="ok"} 90', 'outcome="ok"} 120')), "a", "b")
    fresh = parse('rag_gateway_requests_total{revision="a",endpoint="chat",outcome="ok"} 7')
    replaced = baselines.read("step", GatewayReading((GatewayPod("b", ready=True, reachable=True),), {"b": fresh}), "a", "b")
    assert replaced is not None
    assert (replaced.stable.requests, replaced.since) == (37, 1000.0)


def test_what_a_pod_counted_before_the_step_does_not_count_although_it_could_not_be_asked_at_first() -> None:
    baselines = Baselines(lambda: 1000.0)
    restarting = (GatewayPod("a", ready=True, reachable=True), GatewayPod("b"))
    baselines.read("step", reading(pods=restarting), "a", "b")
    back = GatewayReading((restarting[0], GatewayPod("b", ready=True, reachable=True)), {"a": parse(TEXT), "b": parse(TEXT)})
    found = baselines.read("step", back, "a", "b")
    assert found is not None
    assert found.stable.requests == 0
    later = parse(TEXT.replace('outcome="ok"} 90', 'outcome="ok"} 95'))
    found = baselines.read("step", GatewayReading(back.pods, {"a": parse(TEXT), "b": later}), "a", "b")
    assert found is not None
    assert found.stable.requests == 5


def test_how_long_nothing_was_heard_counts_from_the_last_reading_or_from_the_first_look() -> None:
    times = iter((1000.0, 2000.0, 3000.0, 4000.0))
    baselines = Baselines(lambda: next(times))
    silent = reading(pods=(GatewayPod("a", ready=True),))
    assert baselines.heard("step") == 0.0
    for asked, heard in ((silent, 1000.0), (reading(), 2000.0), (silent, 2000.0), (None, 2000.0)):
        baselines.read("step", asked, "a", "b")
        assert baselines.heard("step") == heard


def test_the_quantile_lies_within_its_bucket() -> None:
    baselines = Baselines(lambda: 1000.0)
    empty = "\n".join(line.rsplit(" ", 1)[0] + " 0" for line in TEXT.splitlines() if "bucket" in line)
    baselines.read("step", reading(empty), "a", "b")
    found = baselines.read("step", reading(), "a", "b")
    assert found is not None
    assert found.stable.retrieval_p95 is not None
    assert abs(found.stable.retrieval_p95 - 0.15) < 1e-9
    assert found.candidate.retrieval_p95 is None


def test_a_ready_pod_that_cannot_be_asked_makes_the_reading_missing_and_not_smaller() -> None:
    assert (
        Baselines(lambda: 1000.0).read("step", reading(pods=(GatewayPod("a", True, reachable=True), GatewayPod("b", ready=True))), "a", "b")
        is None
    )
