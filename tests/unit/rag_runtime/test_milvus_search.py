from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import numpy as np
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from rag_runtime.milvus import search
from rag_runtime.milvus.search import (
    Hit,
    SearchClient,
    SearchInvalidError,
    SearchRejectedError,
    SearchTooLargeError,
    SearchUnavailableError,
    effective_parameters,
)


def _results(scores: list[float], **columns: list[Any]) -> Any:
    results = schema_pb2.SearchResultData(num_queries=1, top_k=len(scores), scores=scores, topks=[len(scores)])
    count = len(scores)
    values: dict[str, list[Any]] = {
        "document": [f"d{i}" for i in range(count)],
        "text": ["t"] * count,
        "ordinal": list(range(count)),
        "span_start": [0] * count,
        "span_end": [1] * count,
        "title": [""] * count,
        "uri": [""] * count,
        "metadata": [b'{"a": 1}'] * count,
    } | columns
    for name, data in values.items():
        scalars = schema_pb2.ScalarField()
        kind = "json_data" if name == "metadata" else "string_data" if isinstance(data[0], str) else "long_data"
        getattr(scalars, kind).data.extend(data)
        results.fields_data.append(schema_pb2.FieldData(field_name=name, scalars=scalars))
    return results


def test_columns_become_hits_in_the_order_of_the_answer() -> None:
    assert search._hits(_results([0.9, 0.5]), 2) == [
        Hit(pytest.approx(0.9), "d0", "t", 0, 0, 1, "", "", {"a": 1}),
        Hit(0.5, "d1", "t", 1, 0, 1, "", "", {"a": 1}),
    ]
    assert search._hits(schema_pb2.SearchResultData(topks=[0]), 2) == []


@pytest.mark.parametrize(
    "results",
    [
        _results([0.9, float("nan")]),
        _results([0.9, 0.8, 0.7]),
        _results([0.9], document=["a", "b"]),
        _results([0.9], metadata=[b"{half"]),
    ],
    ids=["a score that is no number", "more rows than asked for", "columns of other lengths", "metadata that is no JSON"],
)
def test_an_answer_that_cannot_be_one_is_not_used(results: Any) -> None:
    with pytest.raises(SearchInvalidError):
        search._hits(results, 2)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (common_pb2.Status(code=101, error_code=1, reason="collection not loaded"), SearchUnavailableError),
        (common_pb2.Status(code=65535, error_code=1, reason="worker query failed", retriable=True), SearchUnavailableError),
        (common_pb2.Status(code=100, error_code=1, reason="collection not found"), SearchRejectedError),
        (common_pb2.Status(code=65535, error_code=1, reason="vector dimension mismatch"), SearchRejectedError),
        (
            common_pb2.Status(code=65535, error_code=1, reason="search results exceed the maxOutputSize Limit 104857600", retriable=True),
            SearchTooLargeError,
        ),
    ],
)
def test_a_status_says_whether_another_attempt_may_succeed(status: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="failed to search c"):
        search._check_status(status, "c")


def test_a_request_reads_bounded_and_looks_at_no_fewer_candidates_than_it_returns() -> None:
    request = search._request("default", "c", np.ones(3, np.float32), 100, "COSINE", {"ef": 64}, "x == 1")

    assert request.consistency_level == common_pb2.ConsistencyLevel.Bounded
    assert not request.use_default_consistency
    assert request.dsl == "x == 1"
    options = {pair.key: pair.value for pair in request.search_params}
    assert (options["topk"], options["params"], options["metric_type"]) == ("100", '{"ef":100}', "COSINE")
    assert isinstance(request, milvus_pb2.SearchRequest)
    assert effective_parameters({"nprobe": 8}, 100) == {"nprobe": 8}
    assert effective_parameters({"ef": 200}, 100) == {"ef": 200}


class Server(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    """Finds nothing: at once, or in the collection `slow` when told to. `broken` cannot be searched; `large` gives more than gRPC takes."""

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def Search(self, request: Any, context: Any) -> Any:
        if request.collection_name == "broken":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no")
        if request.collection_name == "slow":
            self.asked.set()
            await self.answer.wait()
        return milvus_pb2.SearchResults(collection_name="x" * 2**23 if request.collection_name == "large" else "")


class Trusting(SearchClient):
    """A client that knows of authorities, without TLS."""

    def _connect(self) -> grpc.aio.Channel:
        self._trusted = self._authority()
        return grpc.aio.insecure_channel(self._address)


@asynccontextmanager
async def searching(credentials: Path) -> AsyncIterator[tuple[Server, Trusting]]:
    server, service = grpc.aio.server(), Server()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = Trusting(f"127.0.0.1:{port}", tls=True, credentials=credentials)
    try:
        yield service, client
    finally:
        await client.close()
        await server.stop(None)


async def look(client: SearchClient, collection: str) -> list[Hit]:
    return await client.search(collection, np.ones(4, np.float32), limit=1, metric="L2", parameters={}, timeout=30)


async def test_a_search_in_flight_is_answered_though_another_authority_is_trusted_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("one")
    async with searching(tmp_path) as (service, client):
        in_flight = asyncio.create_task(look(client, "slow"))
        await service.asked.wait()
        before = client._channel
        with pytest.raises(SearchUnavailableError):
            await look(client, "broken")
        (tmp_path / "ca.crt").write_text("another")
        assert await look(client, "quick") == []
        assert client._channel is not before
        service.answer.set()
        assert await in_flight == []
        await asyncio.wait(client._leaving)
        assert not client._leaving, "nothing is kept of the channel that was left"


async def test_a_client_that_is_closed_waits_for_no_channel_that_it_left(tmp_path: Path) -> None:
    async with searching(tmp_path) as (service, client):
        in_flight = asyncio.create_task(look(client, "slow"))
        await service.asked.wait()
        client._leave()
        await asyncio.sleep(0)  # it begins to be closed
        (leaving,) = client._leaving
        await client.close()
        await asyncio.wait({leaving}, timeout=10)
        assert leaving.cancelled()
        service.answer.set()
        assert await in_flight == []


async def test_an_answer_that_grpc_does_not_carry_is_one_to_ask_less_of(tmp_path: Path) -> None:
    async with searching(tmp_path) as (_, client):
        with pytest.raises(SearchTooLargeError, match="larger than max"):
            await look(client, "large")
