"""Two lanes under load, hang-ups and ends of the process."""

from __future__ import annotations

import asyncio
import signal
import time

import aiohttp
import pytest

from integration.embedder.process import EmbedderProcess, running_embedder, spawn
from rag_runtime.contracts.headers import LANE_BULK, LANE_QUERY
from rag_runtime.embeddings import EmbeddingsClient, OverloadedError, UnavailableError
from rag_runtime.retry import RetryBudget

PASSAGE = "The pressure distribution over a slender wing at high incidence is governed by the vortices that leave its leading edge. "
# What a query may lose beside bulk work is 100 ms on a calm machine (see the benchmark); a machine shared with other tests gets more,
# and a server without lanes would need several seconds.
SLACK_SECONDS = 0.6


async def latencies(client: EmbeddingsClient, number: int) -> list[float]:
    seconds = []
    for each in range(number):
        began = time.perf_counter()
        await client.embed_queries([f"what happens at the leading edge of wing {each}"], timeout=30)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)


async def keep_busy(embedder: EmbedderProcess, texts: int) -> None:
    async with EmbeddingsClient(embedder.url, "minilm") as client:
        while True:
            await client.embed_documents([PASSAGE * 4] * texts, timeout=300)


async def test_queries_are_answered_quickly_beside_bulk_work_and_bulk_work_still_moves() -> None:
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        idle = await latencies(client, 40)
        bulk = asyncio.create_task(keep_busy(embedder, 512))
        while not await embedder.metric("queue_length", lane=LANE_BULK):
            pass
        before = await embedder.metric("rag_embedder_texts_total", lane=LANE_BULK)
        beside = await latencies(client, 60)
        moved = await embedder.metric("rag_embedder_texts_total", lane=LANE_BULK) - before
        assert not bulk.done()
        bulk.cancel()
        await asyncio.wait({bulk})
    assert beside[-2] <= idle[-2] + SLACK_SECONDS
    assert moved > 0


async def test_a_bulk_caller_that_hangs_up_frees_its_texts_at_once() -> None:
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        call = asyncio.create_task(client.embed_documents([PASSAGE * 6] * 2048, timeout=300))
        while await embedder.metric("queue_length", lane=LANE_BULK) < 1000:
            pass
        call.cancel()
        await asyncio.wait({call})
        await client.close()
        began = time.perf_counter()
        while await embedder.metric("queue_length", lane=LANE_BULK):
            assert time.perf_counter() - began < 10
        assert await embedder.metric("rag_embedder_dropped_texts_total", lane=LANE_BULK, reason="hang-up") == 2048
        assert await embedder.metric("rag_embedder_texts_total", lane=LANE_BULK) < 1500
        assert (await client.embed_queries(["still there?"], timeout=30)).vectors.shape == (1, 384)


async def test_a_full_bulk_lane_sheds_with_retry_after_and_queries_pass() -> None:
    async with running_embedder(RAG_MAX_QUEUE="16") as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        # One call may exceed an empty queue; the next one finds no room.
        first = asyncio.create_task(client.embed_documents([PASSAGE * 6] * 120, timeout=300))
        while await embedder.metric("queue_length", lane=LANE_BULK) < 40:
            pass
        with pytest.raises(OverloadedError, match="wait in lane bulk and 8 more do not fit, allowed: 16") as refused:
            await client.embed(["text"] * 8, lane=LANE_BULK, timeout=0.5)
        assert refused.value.retry_after is not None
        assert refused.value.retry_after >= 1
        assert len((await client.embed(["text"], lane=LANE_QUERY, timeout=30)).vectors) == 1
        assert len((await first).vectors) == 120


async def test_sigterm_finishes_what_is_in_flight_and_ends_with_code_0() -> None:
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        call = asyncio.create_task(client.embed_documents([PASSAGE * 4] * 80, timeout=60))
        while not await embedder.metric("queue_length", lane=LANE_BULK):
            pass
        code = asyncio.create_task(embedder.stop())
        assert len((await call).vectors) == 80
        assert await code == 0


async def test_after_kill_9_callers_get_an_error_and_a_new_process_gives_the_same_vectors() -> None:
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm", budget=RetryBudget(reserve=0)) as client:
        before = (await client.embed_queries(["a question"], timeout=30)).vectors
        call = asyncio.create_task(client.embed_documents([PASSAGE * 6] * 500, timeout=60))
        while not await embedder.metric("queue_length", lane=LANE_BULK):
            pass
        assert await embedder.stop(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(UnavailableError):
            await call
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        assert (before * (await client.embed_queries(["a question"], timeout=30)).vectors).sum() >= 0.9999


async def test_readiness_and_liveness_are_told_on_the_metrics_port_and_the_log_names_the_model() -> None:
    async with running_embedder(RAG_PIPELINE="handbook", RAG_COMPONENT="handbook-embedder-1") as embedder:
        async with aiohttp.ClientSession() as client:
            for path in ("healthz", "readyz"):
                async with client.get(f"{embedder.metrics_url}/{path}") as answer:
                    assert answer.status == 200
        assert (
            await embedder.metric("queue_length", queue="embedding", pipeline="handbook", component="handbook-embedder-1", lane=LANE_QUERY)
            == 0
        )
        loaded = next(line for line in embedder.log if line["message"] == "model loaded")
    assert (loaded["pipeline"], loaded["id"], loaded["engine"]) == ("handbook", "minilm", "openvino")


@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({}, 2, "RAG_MODEL is not set, but required"),
        ({"RAG_MODEL": "/nowhere"}, 1, "is not a directory"),
        ({"RAG_MODEL": "org/name"}, 1, "needs its full commit"),
        ({"RAG_MODEL": "/tmp", "RAG_PRECISION": "Half"}, 2, "RAG_PRECISION=Half"),
        ({"RAG_MODEL": "/tmp", "RAG_BATCH_MAX_WAIT": "soon"}, 2, "'soon' is not a duration"),
    ],
)
async def test_what_cannot_be_served_ends_at_once_with_the_reason(env: dict[str, str], code: int, said: str) -> None:
    process = await spawn(**{"RAG_PORT": "0", "RAG_METRICS_PORT": "0", **env})
    _, text = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code
    assert said in text.decode()
