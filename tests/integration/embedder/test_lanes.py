"""Two lanes under load, hang-ups and ends of the process."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import pytest

from integration.embedder.process import START_SECONDS, EmbedderProcess, running_embedder, spawn
from rag_runtime.contracts.headers import LANE, LANE_BULK, LANE_QUERY
from rag_runtime.embeddings import EmbeddingsClient, UnavailableError
from rag_runtime.retry import RetryBudget

PASSAGE = "The pressure distribution over a slender wing at high incidence is governed by the vortices that leave its leading edge. "
CALL = 512


async def keep_busy(embedder: EmbedderProcess) -> None:
    async with EmbeddingsClient(embedder.url, "minilm") as client:
        while True:
            await client.embed_documents([PASSAGE * 4] * CALL, timeout=600)


async def computed(embedder: EmbedderProcess) -> float:
    return await embedder.metric("rag_embedder_texts_total", lane=LANE_BULK)


async def until_waiting(embedder: EmbedderProcess, texts: int, call: asyncio.Task[object]) -> None:
    """Returns when so many texts of the call wait."""
    while await embedder.metric("queue_length", lane=LANE_BULK) < texts:
        assert not call.done(), "it was answered before anybody could look"


async def test_queries_are_answered_before_bulk_work_that_waits_and_bulk_work_still_moves() -> None:
    """Counted in texts, not in seconds: the machine is shared with other tests, and how slow it is then nobody knows."""
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        bulk = [asyncio.create_task(keep_busy(embedder)) for _ in range(2)]  # so that some always wait
        await until_waiting(embedder, CALL, bulk[0])
        began, overtaken_by = await computed(embedder), []
        for each in range(60):
            before = await computed(embedder)
            await client.embed_queries([f"what happens at the leading edge of wing {each}"], timeout=60)
            overtaken_by.append(await computed(embedder) - before)
        moved = await computed(embedder) - began
        assert not any(call.done() for call in bulk)
        for call in bulk:
            call.cancel()
        await asyncio.wait(bulk)
    # In one queue a query would wait for a whole call at least.
    assert sorted(overtaken_by)[len(overtaken_by) // 2] < CALL / 2
    assert moved > 0


async def test_a_bulk_caller_that_hangs_up_frees_its_texts_at_once() -> None:
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        call = asyncio.create_task(client.embed_documents([PASSAGE * 6] * 2048, timeout=300))
        await until_waiting(embedder, 1000, call)
        call.cancel()
        await asyncio.wait({call})
        await client.close()
        while await embedder.metric("queue_length", lane=LANE_BULK):
            pass  # whether they were dropped or computed is what is counted below
        assert await embedder.metric("rag_embedder_dropped_texts_total", lane=LANE_BULK, reason="hang-up") == 2048
        assert await embedder.metric("rag_embedder_texts_total", lane=LANE_BULK) < 1500
        assert (await client.embed_queries(["still there?"], timeout=30)).vectors.shape == (1, 384)


async def test_a_full_bulk_lane_sheds_with_retry_after_and_queries_pass() -> None:
    async with running_embedder(RAG_MAX_QUEUE="16") as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        # One call may exceed an empty queue; the next one finds no room, for as long as it takes to look.
        first = asyncio.create_task(client.embed_documents([PASSAGE * 6] * 2048, timeout=600))
        await until_waiting(embedder, 1000, first)
        async with aiohttp.ClientSession() as session:
            asked = {"model": "minilm", "input": ["text"] * 8}
            async with session.post(f"{embedder.url}/v1/embeddings", json=asked, headers={LANE: LANE_BULK}) as refused:
                answer = await refused.json()
        assert (refused.status, int(refused.headers["retry-after"]) >= 1) == (429, True)
        assert "wait in lane bulk and 8 more do not fit, allowed: 16" in answer["error"]["message"]
        assert len((await client.embed(["text"], lane=LANE_QUERY, timeout=60)).vectors) == 1
        first.cancel()
        await asyncio.wait({first})


async def test_sigterm_finishes_what_is_in_flight_and_ends_with_code_0() -> None:
    # In its time even on a machine that has none.
    async with running_embedder(RAG_GRACE_SECONDS="600") as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        call = asyncio.create_task(client.embed_documents([PASSAGE * 4] * 80, timeout=500))
        await until_waiting(embedder, 1, call)
        code = asyncio.create_task(embedder.stop())
        assert len((await call).vectors) == 80
        assert await code == 0


async def test_after_kill_9_callers_get_an_error_and_a_new_process_gives_the_same_vectors() -> None:
    async with running_embedder() as embedder, EmbeddingsClient(embedder.url, "minilm", budget=RetryBudget(reserve=0)) as client:
        before = (await client.embed_queries(["a question"], timeout=30)).vectors
        call = asyncio.create_task(client.embed_documents([PASSAGE * 6] * 500, timeout=600))
        await until_waiting(embedder, 1, call)
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
    _, text = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == code
    assert said in text.decode()
