from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import numpy as np
import pytest

from rag_gateway.deadline import Deadline
from rag_gateway.errors import BadRequestError, DeadlineExceededError, UnavailableError, UpstreamInvalidError
from rag_gateway.retrieval import Retriever, best_chunks
from rag_gateway.vectors import QueryEmbedder, QueryVector, VectorCache
from rag_runtime import embeddings
from rag_runtime.contracts.embedding import ModelCard
from rag_runtime.contracts.routing import EmbedderRoute, IndexRoute
from rag_runtime.embeddings import Embedded
from rag_runtime.milvus.search import Hit, SearchRejectedError, SearchTooLargeError, SearchUnavailableError
from rag_runtime.retry import RetryBudget

ROUTE = EmbedderRoute(url="http://e", model="m", dimensions=2, fingerprint="f", query_prefix="q: ")


def _hit(document: int, score: float) -> Hit:
    return Hit(score, f"d{document}", "t", 0, 0, 1, "", "", {})


class _Client:
    """An embeddings client that waits for `gate`."""

    def __init__(self, fingerprint: str | None = "f") -> None:
        self.asked: list[str] = []
        self.described = 0
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fingerprint = fingerprint
        self.card = ModelCard(id="m", fingerprint="f", query_prompt="own: ")

    async def embed_queries(self, texts: list[str], *, timeout: float) -> Embedded:
        self.asked += texts
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop()
        return Embedded(np.ones((1, 2), np.float32), fingerprint=self.fingerprint)

    async def describe(self, *, timeout: float, refresh: bool = False) -> ModelCard:
        self.described += 1
        return self.card


def _embedder(client: _Client, route: EmbedderRoute = ROUTE, clock: Any = lambda: 0.0) -> QueryEmbedder:
    return QueryEmbedder(route, client, VectorCache(10_000), timeout=5, clock=clock)  # type: ignore[arg-type]


class _Search:
    """An index of `rows` (document, score), best first."""

    def __init__(self, rows: list[Hit], failures: list[Exception] | None = None) -> None:
        self.rows = rows
        self.failures = failures or []
        self.limits: list[int] = []

    async def search(self, collection: str, vector: Any, *, limit: int, **_: Any) -> list[Hit]:
        self.limits.append(limit)
        if self.failures:
            raise self.failures.pop(0)
        return self.rows[:limit]


def _retriever(search: _Search, budget: RetryBudget | None = None) -> Retriever:
    return Retriever(_embedder(_Client()), search, IndexRoute(address="a", collection="c"), budget or RetryBudget())  # type: ignore[arg-type]


def test_a_document_scores_as_its_best_chunk() -> None:
    hits = [_hit(1, 0.9), _hit(2, 0.8), _hit(1, 0.7), _hit(3, 0.6)]

    assert [(hit.document, hit.score) for hit in best_chunks(hits)] == [("d1", 0.9), ("d2", 0.8), ("d3", 0.6)]


async def test_more_chunks_are_fetched_until_there_are_enough_documents() -> None:
    # One long document owns the first hundred places.
    search = _Search([_hit(0, 1.0)] * 100 + [_hit(i, 0.5) for i in range(1, 20)])

    found = await _retriever(search).retrieve("q", 5, "document", "", Deadline(5))

    assert [hit.document for hit in found.hits] == ["d0", "d1", "d2", "d3", "d4"]
    assert search.limits == [20, 80, 320]


async def test_an_index_with_fewer_documents_ends_the_search() -> None:
    search = _Search([_hit(i % 3, 1.0) for i in range(15)])

    assert len((await _retriever(search).retrieve("q", 5, "document", "", Deadline(5))).hits) == 3
    assert search.limits == [20]


class _Bounded(_Search):
    """An index that gives at most so many rows at once."""

    async def search(self, collection: str, vector: Any, *, limit: int, **more: Any) -> list[Hit]:
        if limit > 100:
            self.limits.append(limit)
            raise SearchTooLargeError("message larger than max")
        return await super().search(collection, vector, limit=limit, **more)


async def test_documents_are_those_of_the_most_chunks_that_the_index_gives_at_once() -> None:
    search = _Bounded([_hit(i % 3, 1.0) for i in range(1000)])

    found = await _retriever(search).retrieve("q", 5, "document", "", Deadline(5))

    assert [hit.document for hit in found.hits] == ["d0", "d1", "d2"]
    assert search.limits == [20, 80, 320]


async def test_more_chunks_than_the_index_gives_at_once_are_the_callers_mistake() -> None:
    search = _Bounded([_hit(i, 1.0) for i in range(1000)])

    with pytest.raises(BadRequestError, match="k: ") as refused:
        await _retriever(search).retrieve("q", 200, "chunk", "", Deadline(5))
    assert refused.value.param == "k"
    assert search.limits == [200]


async def test_a_search_is_repeated_while_the_budget_lasts() -> None:
    later = SearchUnavailableError("not loaded")

    search = _Search([_hit(1, 1.0)], [later])
    assert len((await _retriever(search).retrieve("q", 1, "chunk", "", Deadline(5))).hits) == 1
    search = _Search([_hit(1, 1.0)], [later])
    with pytest.raises(UnavailableError):
        await _retriever(search, RetryBudget(reserve=0.5)).retrieve("q", 1, "chunk", "", Deadline(5))
    assert len(search.limits) == 1


async def test_a_search_that_was_refused_is_not_repeated() -> None:
    search = _Search([], [SearchRejectedError("dimension")])

    with pytest.raises(UpstreamInvalidError):
        await _retriever(search).retrieve("q", 1, "chunk", "", Deadline(5))
    assert len(search.limits) == 1


async def test_equal_questions_that_arrive_together_are_embedded_once() -> None:
    client = _Client()
    client.gate.clear()
    embedder = _embedder(client)

    waiting = [asyncio.create_task(embedder.embed("same", Deadline(5))) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    client.gate.set()
    vectors = await asyncio.gather(*waiting, return_exceptions=True)

    assert client.asked == ["same"]
    assert isinstance(vectors[0], asyncio.CancelledError)
    assert all(isinstance(vector, QueryVector) for vector in vectors[1:])


async def test_a_request_that_joins_another_ones_embedding_ends_at_its_own_deadline() -> None:
    client = _Client()
    client.gate.clear()
    embedder = _embedder(client)
    looks = itertools.count()

    def clock() -> float:
        assert next(looks) < 100, "it goes round without letting others run"
        return time.monotonic()

    first = asyncio.create_task(embedder.embed("same", Deadline(5)))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceededError, match="while embedding the question"):
        await embedder.embed("same", Deadline(0.01, clock))
    client.gate.set()

    assert isinstance(await first, QueryVector)
    assert client.asked == ["same"]


async def test_a_request_that_joined_a_flight_with_less_time_goes_on_in_one_of_its_own() -> None:
    client = _Client()
    client.failures.append(embeddings.DeadlineExceededError("no answer"))
    client.gate.clear()
    embedder = _embedder(client)

    first, second = (asyncio.create_task(embedder.embed("same", Deadline(5))) for _ in range(2))
    await asyncio.sleep(0)
    client.gate.set()

    with pytest.raises(DeadlineExceededError):
        await first
    assert isinstance(await second, QueryVector)
    assert client.asked == ["same", "same"]


async def test_a_question_that_the_model_does_not_take_is_the_callers_mistake() -> None:
    client = _Client()
    client.failures.append(embeddings.RejectedError("input[0] has no tokens", status=400, param="input[0]"))

    with pytest.raises(BadRequestError) as refused:
        await _embedder(client).embed("\u200b", Deadline(5))
    assert refused.value.param == "query"


@pytest.mark.parametrize(("status", "param"), [(401, None), (404, "model")])
async def test_an_embedder_that_refuses_for_another_reason_is_not_the_callers_mistake(status: int, param: str | None) -> None:
    client = _Client()
    client.failures.append(embeddings.RejectedError("no such key", status=status, param=param))

    with pytest.raises(UpstreamInvalidError):
        await _embedder(client).embed("q", Deadline(5))


async def test_a_vector_is_remembered_by_model_prompt_and_text() -> None:
    cache, client = VectorCache(10_000), _Client()
    routes = [ROUTE, ROUTE.model_copy(update={"url": "http://other"}), ROUTE.model_copy(update={"query_prefix": ""})]

    for route in routes:
        await QueryEmbedder(route, client, cache, timeout=5).embed("q", Deadline(5))  # type: ignore[arg-type]

    assert client.asked == ["q", "q"]  # another address of the same model is the same; another prompt is not


async def test_a_model_without_a_fingerprint_is_asked_each_time() -> None:
    client = _Client(fingerprint=None)
    embedder = _embedder(client, ROUTE.model_copy(update={"fingerprint": None}))

    for _ in range(2):
        await embedder.embed("q", Deadline(5))

    assert client.asked == ["q", "q"]


def test_the_cache_forgets_the_least_recently_used() -> None:
    cache, vector = VectorCache(1_000), QueryVector(np.zeros(50, np.float32), 0)
    keys = [("f", 50, "", f"text {i}") for i in range(3)]

    for key in keys[:2]:
        cache.put(key, vector)
    assert cache.get(keys[0]) is vector
    cache.put(keys[2], vector)

    assert [cache.get(key) is None for key in keys] == [False, True, False]


async def test_vectors_of_another_model_are_refused_and_not_remembered() -> None:
    client = _Client(fingerprint="other")
    embedder = _embedder(client)

    for _ in range(2):
        with pytest.raises(UpstreamInvalidError, match="reports model fingerprint 'other'"):
            await embedder.embed("q", Deadline(5))
    assert client.asked == ["q", "q"]


async def test_a_server_that_does_not_name_its_model_on_answers_is_asked_about_it_every_few_seconds() -> None:
    client, now = _Client(fingerprint=None), [0.0]
    embedder = _embedder(client, clock=lambda: now[0])

    for text, moment in (("a", 0.0), ("b", 1.0), ("c", 6.0)):
        now[0] = moment
        await embedder.embed(text, Deadline(5))
    assert client.described == 2
    client.card = ModelCard(id="m", fingerprint="other")
    now[0] = 20.0
    with pytest.raises(UpstreamInvalidError):
        await embedder.embed("d", Deadline(5))


async def test_who_joins_a_flight_that_runs_out_of_time_goes_on_in_one_of_its_own() -> None:
    client = _Client()
    tries: list[str] = []

    async def first_runs_out(texts: list[str], *, timeout: float) -> Embedded:
        tries.append(texts[0])
        if len(tries) == 1:
            await client.gate.wait()
            raise DeadlineExceededError("too late")
        return Embedded(np.ones((1, 2), np.float32), fingerprint="f")

    client.gate.clear()
    client.embed_queries = first_runs_out  # type: ignore[method-assign]
    embedder = _embedder(client)
    first, second = (asyncio.create_task(embedder.embed("q", Deadline(5))) for _ in range(2))
    await asyncio.sleep(0)
    client.gate.set()

    results = await asyncio.gather(first, second, return_exceptions=True)

    assert isinstance(results[0], DeadlineExceededError)
    assert isinstance(results[1], QueryVector)
    assert len(tries) == 2
