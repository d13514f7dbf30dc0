"""The embeddings client against a scripted server on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from rag_runtime import embeddings, logs
from rag_runtime.embeddings import EmbeddingsClient
from rag_runtime.retry import RetryBudget

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Upstream:
    """Answers embeddings calls with `script`, one handler a call, the last one for ever."""

    def __init__(self) -> None:
        self.script: list[Handler] = [_ones]
        self.calls: list[tuple[dict[str, str], Any]] = []
        said = {"fingerprint": "f1", "queryPrompt": "query: ", "documentPrompt": "passage: "}
        self.card: dict[str, Any] | None = {"id": "m", "rag": said}
        self.url = ""
        self.closing = asyncio.Event()

    async def embed(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(({name.lower(): value for name, value in request.headers.items()}, await request.json()))
        return await (self.script.pop(0) if len(self.script) > 1 else self.script[0])(request)

    async def models(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [self.card]}) if self.card else web.Response(status=404)


def answer(rows: list[Any], **extra: Any) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        data = [{"index": place, "embedding": row} for place, row in enumerate(rows)]
        return web.Response(text=json.dumps({"data": data, **extra}), content_type="application/json")

    return handler


def refuse(status: int, headers: dict[str, str] | None = None, **error: Any) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no", **error}}, status=status, headers=headers)

    return handler


async def _ones(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    row = base64.b64encode(np.ones(body.get("dimensions", 4), "<f4").tobytes()).decode()
    return await answer([row] * len(body["input"]))(request)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    scripted = Upstream()
    app = web.Application()
    app.router.add_post("/v1/embeddings", scripted.embed)
    app.router.add_get("/v1/models", scripted.models)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    scripted.closing.set()
    await runner.cleanup()


class Sleeps:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def client(upstream: Upstream, **options: Any) -> EmbeddingsClient:
    return EmbeddingsClient(upstream.url, "m", **{"sleep": Sleeps(), **options})


async def test_the_models_own_prompts_are_added_when_no_prefix_is_given(upstream: Upstream) -> None:
    async with client(upstream) as embedder:
        await embedder.embed_queries(["why"], timeout=5)
        await embedder.embed_documents(["because"], timeout=5)
    assert [(call[0]["x-rag-lane"], call[1]["input"]) for call in upstream.calls] == [
        ("query", ["query: why"]),
        ("bulk", ["passage: because"]),
    ]


async def test_an_empty_prefix_means_none_and_a_given_one_wins(upstream: Upstream) -> None:
    async with client(upstream, query_prefix="", document_prefix="doc: ") as embedder:
        await embedder.embed_queries(["why"], timeout=5)
        await embedder.embed_documents(["because"], timeout=5)
    assert [call[1]["input"] for call in upstream.calls] == [["why"], ["doc: because"]]


async def test_a_server_that_says_nothing_about_the_model_gets_no_prompts(upstream: Upstream) -> None:
    upstream.card = {"id": "another"}
    async with client(upstream) as embedder:
        await embedder.embed_queries(["why"], timeout=5)
        assert (await embedder.describe()).fingerprint is None
    assert upstream.calls[0][1]["input"] == ["why"]


async def test_a_server_that_does_not_list_its_models_is_asked_all_the_same(upstream: Upstream) -> None:
    upstream.card = None
    async with client(upstream) as embedder:
        await embedder.embed_documents(["because"], timeout=5)
        assert (await embedder.describe()).dimensions is None
    assert upstream.calls[0][1]["input"] == ["because"]


async def test_key_deadline_and_request_id_travel_in_headers(upstream: Upstream) -> None:
    async with client(upstream, api_key=lambda: "s3cret", dimensions=2) as embedder:
        with logs.bind(request_id="r7"):
            await embedder.embed(["x"], lane="query", timeout=5)
    sent, body = upstream.calls[0]
    assert (sent["authorization"], sent["x-request-id"], body["dimensions"]) == ("Bearer s3cret", "r7", 2)
    assert 0 < int(sent["x-rag-deadline-ms"]) <= 5000


async def test_floats_and_rows_out_of_order_are_read(upstream: Upstream) -> None:
    async def shuffled(_: web.Request) -> web.StreamResponse:
        return web.json_response({"data": [{"index": 1, "embedding": [2.0, 2.0]}, {"index": 0, "embedding": [1.0, 1.0]}]})

    upstream.script = [shuffled]
    async with client(upstream) as embedder:
        found = await embedder.embed(["a", "b"], lane="query", timeout=5)
    assert found.vectors.tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.0, 0.0]], "1 embeddings for 2 texts"),
        ([[1.0, 0.0], [1.0]], "1 dimensions, expected 2"),
        ([[1.0, 0.0], []], "0 dimensions, expected 2"),
        ([[], []], "0 dimensions"),
        ([[1.0, 0.0], [float("nan"), 1.0]], "NaN"),
        ([[1.0, 0.0], [0.0, 0.0]], "all zeros"),
        ([[1.0, 0.0], "not base64!"], "cannot be decoded"),
        ([[1.0, 0.0], None], "expected base64 or an array"),
    ],
)
async def test_a_lying_answer_is_refused_and_not_retried(upstream: Upstream, rows: list[Any], said: str) -> None:
    upstream.script = [
        answer([base64.b64encode(np.array(row, "<f4").tobytes()).decode() if isinstance(row, list) else row for row in rows])
    ]
    async with client(upstream) as embedder:
        with pytest.raises(embeddings.InvalidAnswerError, match=said):
            await embedder.embed(["a", "b"], lane="query", timeout=5)
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("said", ["soon", "inf", "nan"])
async def test_a_server_that_says_no_seconds_after_which_to_come_back_says_nothing(upstream: Upstream, said: str) -> None:
    upstream.script = [refuse(429, {"retry-after": said})]
    async with client(upstream, budget=RetryBudget(reserve=0)) as embedder:
        with pytest.raises(embeddings.OverloadedError) as refused:
            await embedder.embed(["a"], lane="query", timeout=5)
    assert refused.value.retry_after is None


async def _refuse_dimensions(request: web.Request) -> web.StreamResponse:
    """A server that does not know the parameter; its vectors have four dimensions."""
    return await (refuse(400) if "dimensions" in await request.json() else _ones)(request)


async def test_a_server_that_refuses_the_parameter_dimensions_is_asked_without_it(upstream: Upstream) -> None:
    upstream.script = [_refuse_dimensions]
    async with client(upstream, dimensions=4) as embedder:
        for _ in range(2):
            assert (await embedder.embed(["a"], lane="query", timeout=5)).vectors.shape == (1, 4)
    assert ["dimensions" in body for _, body in upstream.calls] == [True, False, False]


async def test_vectors_of_another_length_than_asked_for_are_refused(upstream: Upstream) -> None:
    upstream.script = [_refuse_dimensions]
    async with client(upstream, dimensions=8) as embedder:
        with pytest.raises(embeddings.InvalidAnswerError, match="4 dimensions, expected 8"):
            await embedder.embed(["a"], lane="query", timeout=5)


async def test_a_server_that_took_the_parameter_refuses_the_text(upstream: Upstream) -> None:
    upstream.script = [_ones, refuse(400)]
    async with client(upstream, dimensions=4) as embedder:
        await embedder.embed(["a"], lane="query", timeout=5)
        with pytest.raises(embeddings.RejectedError):
            await embedder.embed(["bad"], lane="query", timeout=5)
    assert len(upstream.calls) == 2


async def test_a_server_error_is_retried_until_it_answers(upstream: Upstream) -> None:
    upstream.script = [refuse(500), refuse(502), _ones]
    async with client(upstream) as embedder:
        assert (await embedder.embed(["a"], lane="query", timeout=5)).vectors.shape == (1, 4)


async def test_retries_end_with_the_budget(upstream: Upstream) -> None:
    upstream.script = [refuse(500)]
    async with client(upstream, budget=RetryBudget(reserve=2)) as embedder:
        with pytest.raises(embeddings.UnavailableError, match="HTTP 500"):
            await embedder.embed(["a"], lane="query", timeout=50)
    assert len(upstream.calls) == 3


async def test_a_bulk_caller_waits_as_long_as_it_is_told_without_using_the_budget(upstream: Upstream) -> None:
    upstream.script = [refuse(429, {"retry-after": "2"}), refuse(429, {"retry-after": "2"}), _ones]
    sleeps = Sleeps()
    async with client(upstream, sleep=sleeps, budget=RetryBudget(ratio=0, reserve=0)) as embedder:
        await embedder.embed(["a"], lane="bulk", timeout=50)
    assert sleeps.seconds == [2, 2]


async def test_being_told_to_wait_past_the_deadline_fails_at_once_and_says_how_long(upstream: Upstream) -> None:
    upstream.script = [refuse(429, {"retry-after": "30"})]
    async with client(upstream) as embedder:
        with pytest.raises(embeddings.OverloadedError) as refused:
            await embedder.embed(["a"], lane="query", timeout=5)
    assert refused.value.retry_after == 30


async def test_a_text_that_is_too_long_is_named(upstream: Upstream) -> None:
    upstream.script = [refuse(400, code="context_length_exceeded", param="input[1]")]
    async with client(upstream) as embedder:
        with pytest.raises(embeddings.TextTooLongError) as refused:
            await embedder.embed(["a", "b"], lane="bulk", timeout=5)
    assert refused.value.index == 1
    assert len(upstream.calls) == 1


async def test_a_text_that_is_too_long_is_known_by_the_words_of_servers_that_give_no_code(upstream: Upstream) -> None:
    upstream.script = [refuse(400, message="This model's maximum context length is 512 tokens. However, you requested 600.", code=400)]
    async with client(upstream, dimensions=4) as embedder:
        with pytest.raises(embeddings.TextTooLongError):
            await embedder.embed(["a"], lane="query", timeout=5)
    assert len(upstream.calls) == 1


async def test_a_server_that_never_answers_costs_no_more_than_the_deadline(upstream: Upstream) -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await upstream.closing.wait()
        return web.Response()

    upstream.script = [silent]
    async with client(upstream) as embedder:
        with pytest.raises(embeddings.DeadlineExceededError):
            await embedder.embed(["a"], lane="query", timeout=0.2)


async def test_nobody_listening_is_unavailable() -> None:
    async with EmbeddingsClient("http://127.0.0.1:9", "m", budget=RetryBudget(reserve=0)) as embedder:
        with pytest.raises(embeddings.UnavailableError, match="failed to ask"):
            await embedder.embed(["a"], lane="query", timeout=5)


async def test_a_redirect_is_not_followed(upstream: Upstream) -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:9/v1/embeddings")

    upstream.script = [elsewhere]
    async with client(upstream) as embedder:
        with pytest.raises(embeddings.RejectedError, match="HTTP 307"):
            await embedder.embed(["a"], lane="query", timeout=5)


async def test_a_lone_surrogate_is_refused_before_it_is_sent(upstream: Upstream) -> None:
    async with client(upstream) as embedder:
        with pytest.raises(embeddings.RejectedError, match="not valid Unicode"):
            await embedder.embed(["\ud800"], lane="query", timeout=5)
    assert upstream.calls == []


async def test_no_texts_need_no_call_and_too_many_are_a_bug(upstream: Upstream) -> None:
    async with client(upstream, dimensions=4) as embedder:
        assert (await embedder.embed([], lane="query", timeout=5)).vectors.shape == (0, 4)
        with pytest.raises(ValueError, match="allowed: at most 2048"):
            await embedder.embed(["a"] * 2049, lane="query", timeout=5)
    assert upstream.calls == []


def test_a_budget_earns_a_fifth_of_a_retry_a_request() -> None:
    budget = RetryBudget(ratio=0.2, reserve=1)
    assert [budget.spend(), budget.spend()] == [True, False]
    for _ in range(5):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
