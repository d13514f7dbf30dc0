"""What counts as a revision's doing: the online gate aborts a candidate by these numbers."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from rag_gateway import app
from rag_gateway import deadline as deadlines
from rag_gateway.deadline import Deadline
from rag_gateway.epochs import Epochs
from rag_gateway.errors import DeadlineExceededError, GatewayError, UnavailableError
from rag_gateway.keys import ApiKeys
from rag_gateway.metrics import Metrics
from rag_gateway.retrieval import Retrieved
from rag_gateway.settings import GatewaySettings
from rag_gateway.upstreams import Upstreams
from rag_runtime.contracts import metrics as names
from rag_runtime.contracts.routing import EmbedderRoute, GeneratorRoute, IndexRoute, Route, RoutingTable

ROUTE = Route(
    revision="r1",
    weight=100,
    embedder=EmbedderRoute(url="http://e", model="m", dimensions=2),
    index=IndexRoute(address="m:19530", collection="c"),
    generator=GeneratorRoute(url="http://g", model="m", max_model_len=4096, tokenizer=False),
)


class Clock:
    """Time passes where a test lets it pass: a machine that is slow anywhere else is late for nothing."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(app, "asked_for", partial(deadlines.asked_for, clock=made))
    return made


async def _hang(deadline: Deadline) -> None:
    clock = deadline._clock
    assert isinstance(clock, Clock)
    clock.now += deadline.remaining("waiting")
    raise DeadlineExceededError("the time ran out")


class _Retriever:
    """Finds nothing, after it has failed or hung as told: until its deadline, or for ever."""

    def __init__(self, failure: GatewayError | None = None, *, hangs: bool = False, for_ever: bool = False) -> None:
        self.failure, self.hangs, self.for_ever = failure, hangs, for_ever

    async def retrieve(self, text: str, k: int, group_by: str, expression: str, deadline: Deadline) -> Retrieved:
        if self.for_ever:
            await asyncio.Event().wait()
        if self.hangs:
            await _hang(deadline)
        if self.failure:
            raise self.failure
        return Retrieved((), "c", 2, 0)


class _Generator:
    """Gives no token."""

    route = ROUTE.generator

    async def complete(self, messages: Any, sampling: Any, deadline: Deadline) -> Any:
        await _hang(deadline)


class _Caller:
    """One gateway, and what its metrics say of the revision."""

    def __init__(self, directory: Path, retriever: _Retriever, **environment: str) -> None:
        settings = GatewaySettings.model_validate({"RAG_API_KEYS_DIR": directory / "none", **environment})
        epochs, self.registry = Epochs(), CollectorRegistry()
        epochs.adopt(RoutingTable(epoch=1, pipeline="p", routes=(ROUTE,)))
        self.retriever = retriever
        pool: Any = self
        gateway = app.Gateway(settings, epochs, pool, ApiKeys(settings.api_keys_dir), Metrics(epochs, self.registry))
        self.port = gateway.port(preview=False)
        self.reads = True

    def of(self, route: Route) -> Upstreams:
        generator: Any = _Generator()
        retriever: Any = self.retriever
        return Upstreams(retriever, generator)

    async def ask(self, endpoint: str, deadline: str | None) -> int:
        """The answer's status."""
        body = [{"type": "http.request", "body": orjson.dumps({"query": "why?"})}]
        statuses: list[int] = []

        async def receive() -> MutableMapping[str, Any]:
            if not body:
                await asyncio.Event().wait()
            return body.pop()

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            if not self.reads:
                await asyncio.Event().wait()

        headers = [(b"x-rag-deadline-ms", deadline.encode())] if deadline else []
        await self.port({"type": "http", "method": "POST", "path": f"/v1/{endpoint}", "headers": headers}, receive, send)
        return statuses[0]

    def counted(self, endpoint: str) -> dict[str, float]:
        """Requests by outcome."""
        asked = {outcome: {"revision": "r1", "endpoint": endpoint, "outcome": outcome} for outcome in ("ok", "error", "degraded")}
        found = {outcome: self.registry.get_sample_value(names.GATEWAY_REQUESTS, labels) for outcome, labels in asked.items()}
        return {outcome: count for outcome, count in found.items() if count}


async def test_a_caller_that_waits_too_short_is_not_the_revisions_error(tmp_path: Path) -> None:
    caller = _Caller(tmp_path, _Retriever(hangs=True))

    assert await caller.ask("retrieve", "5000") == 504
    assert caller.counted("retrieve") == {}


async def test_a_caller_that_waits_too_short_for_a_token_is_not_the_revisions_degraded_answer(tmp_path: Path) -> None:
    caller = _Caller(tmp_path, _Retriever())

    assert await caller.ask("query", "5000") == 200
    assert caller.counted("query") == {}


@pytest.mark.parametrize("deadline", [None, "300000"])
@pytest.mark.parametrize(("retrieval", "request_timeout"), [("60s", "600s"), ("600s", "60s")])
async def test_what_takes_longer_than_the_gateway_allows_is_the_revisions_error(
    deadline: str | None, retrieval: str, request_timeout: str, tmp_path: Path
) -> None:
    caller = _Caller(tmp_path, _Retriever(hangs=True), RAG_RETRIEVAL_TIMEOUT=retrieval, RAG_REQUEST_TIMEOUT=request_timeout)

    assert await caller.ask("retrieve", deadline) == 504
    assert caller.counted("retrieve") == {"error": 1}


async def test_a_failure_before_the_callers_time_is_over_is_the_revisions_error(tmp_path: Path) -> None:
    caller = _Caller(tmp_path, _Retriever(UnavailableError("away")))

    assert await caller.ask("retrieve", "60000") == 503
    assert caller.counted("retrieve") == {"error": 1}


async def test_an_answer_at_the_last_moment_of_a_short_time_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "EARLY_SECONDS", 60)
    caller = _Caller(tmp_path, _Retriever())

    assert await caller.ask("retrieve", "20000") == 200
    assert caller.counted("retrieve") == {"ok": 1}


async def test_a_step_that_nothing_bounds_is_the_revisions_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SLACK_SECONDS", 0.01)
    caller = _Caller(tmp_path, _Retriever(for_ever=True), RAG_REQUEST_TIMEOUT="1s")

    assert await caller.ask("retrieve", None) == 504
    assert caller.counted("retrieve") == {"error": 1}


async def test_a_caller_that_does_not_read_its_answer_is_not_the_revisions_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SLACK_SECONDS", 0.01)
    caller = _Caller(tmp_path, _Retriever(), RAG_REQUEST_TIMEOUT="1s")
    caller.reads = False

    with pytest.raises(DeadlineExceededError):
        await caller.ask("retrieve", None)
    assert caller.counted("retrieve") == {}
