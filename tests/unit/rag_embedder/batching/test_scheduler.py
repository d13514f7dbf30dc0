"""What is computed when, on simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from rag_embedder.batching.scheduler import FAILURES_BEFORE_RESTART, QUERY_BATCH_SECONDS, Limits
from rag_embedder.engines.base import Vectors
from rag_embedder.errors import QueueFullError, RequestError
from rag_embedder.tokens import TokenIds
from rag_runtime.contracts.headers import LANE_BULK, LANE_QUERY
from unit.rag_embedder.batching.simulated import Machine, machine


async def test_every_text_gets_its_own_vector_in_the_callers_order() -> None:
    async with machine() as engine:
        vectors = await engine.submit(30, 10, 20).wait()
    assert vectors.tolist() == [[0, 30], [1, 10], [2, 20]]


async def test_texts_of_several_callers_share_a_batch() -> None:
    async with machine(rate=0.0001) as engine:
        await asyncio.gather(*(engine.submit(10).wait() for _ in range(5)))
    assert [size for _, size, _ in engine.batches] == [[5, 50]]


async def test_a_query_batch_ends_where_its_time_ends() -> None:
    async with machine(rate=0.001) as engine:
        await engine.submit(*[10] * 10).wait()
    assert engine.batches
    assert all(seconds <= QUERY_BATCH_SECONDS for _, _, seconds in engine.batches)


async def test_queries_share_batches_on_a_machine_that_needs_longer_to_begin_one_than_a_batch_may_take() -> None:
    async with machine(start=2 * QUERY_BATCH_SECONDS, rate=0.0001) as engine:
        await asyncio.gather(*(engine.submit(10).wait() for _ in range(64)))
    assert len(engine.batches) <= 3


async def test_a_bulk_batch_ends_where_max_bulk_batch_ends_and_one_long_text_runs_alone() -> None:
    async with machine(Limits(max_bulk_batch=0.05), rate=0.001) as engine:
        await engine.submit(400, *[10] * 20, lane=LANE_BULK).wait()
    assert engine.batches[0][1] == [1, 400]
    assert all(seconds <= 0.05 + 1e-9 for _, _, seconds in engine.batches[1:])


async def test_max_batch_tokens_bounds_a_batch_on_a_fast_machine() -> None:
    async with machine(Limits(max_batch_tokens=100), rate=1e-7) as engine:
        await engine.submit(*[30] * 10).wait()
    assert max(tokens for _, (_, tokens), _ in engine.batches) == 90


async def test_padding_counts_when_the_engine_pads() -> None:
    async with machine(Limits(max_batch_tokens=100), padded=True, rate=1e-7) as engine:
        await engine.submit(20, 40, 20, 20).wait()
    assert [size for _, size, _ in engine.batches] == [[3, 60], [1, 40]]


async def test_queries_go_before_bulk_that_waited_longer() -> None:
    async with machine() as engine:
        bulk = engine.submit(*[10] * 4, lane=LANE_BULK)
        await engine.submit(10).wait()
        await bulk.wait()
    assert engine.lanes()[0] == LANE_QUERY


async def test_bulk_gets_its_tenth_however_many_queries_come_and_queries_keep_the_rest() -> None:
    async with machine(rate=0.001) as engine:
        engine.during_batch = lambda done: submit_queries(engine, 2) if done < 500 else None
        submit_queries(engine, 2)
        await engine.submit(*[20] * 1000, lane=LANE_BULK).wait()
    spent = {lane: sum(seconds for name, _, seconds in engine.batches[:500] if name == lane) for lane in (LANE_QUERY, LANE_BULK)}
    assert 0.09 <= spent[LANE_BULK] / sum(spent.values()) <= 0.12


async def test_a_query_never_waits_for_two_bulk_batches() -> None:
    async with machine(rate=0.001) as engine:
        engine.during_batch = lambda done: submit_queries(engine, 1) if done < 100 else None
        await engine.submit(*[20] * 500, lane=LANE_BULK).wait()
    assert "bb" not in "".join(lane[0] for lane in engine.lanes()[:100])


def submit_queries(engine: Machine, number: int) -> None:
    for _ in range(number):
        engine.submit(20)


async def test_the_oldest_text_is_never_passed_over_for_better_fitting_ones() -> None:
    async with machine(Limits(max_batch_tokens=200), rate=1e-6) as engine:
        odd = engine.submit(200)
        others = [engine.submit(10) for _ in range(100)]
        await odd.wait()
        assert engine.batches[0][1] == [1, 200]
        await asyncio.gather(*(call.wait() for call in others))


async def test_a_batch_holds_texts_of_like_length() -> None:
    async with machine(Limits(max_batch_tokens=120), padded=True, rate=1e-7) as engine:
        await engine.submit(*[40, 10] * 6).wait()
    assert [size for _, size, _ in engine.batches] == [[3, 120], [6, 60], [3, 120]]


async def test_a_caller_that_hangs_up_is_not_computed_and_leaves_the_count_at_once() -> None:
    async with machine(rate=0.001) as engine:
        first = asyncio.create_task(engine.submit(20).wait())
        gone = asyncio.create_task(engine.submit(*[20] * 50).wait())
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert engine.scheduler.queue_length(LANE_QUERY) <= 1
        await first
        await engine.submit(20).wait()
    assert sum(rows for _, (rows, _), _ in engine.batches) <= 3


async def test_texts_past_their_deadline_fail_and_are_not_computed() -> None:
    async with machine(rate=0.001) as engine:
        slow = engine.submit(*[20] * 3)
        late = engine.submit(*[20] * 5, deadline_in=0.001)
        await slow.wait()
        with pytest.raises(RequestError) as refused:
            await late.wait()
    assert refused.value.status == 504
    assert engine.drops == [(LANE_QUERY, 5, "deadline")]
    assert sum(rows for _, (rows, _), _ in engine.batches) <= 4


async def test_a_full_lane_refuses_with_the_seconds_it_needs_and_the_other_lane_stays_open() -> None:
    async with machine(Limits(max_queue=10), rate=0.045) as engine:
        engine.submit(*[10] * 10, lane=LANE_BULK)
        with pytest.raises(QueueFullError, match="10 texts wait in lane bulk and 1 more do not fit, allowed: 10") as refused:
            engine.submit(10, lane=LANE_BULK)
        assert refused.value.headers == {"retry-after": "5"}
        engine.submit(10, lane=LANE_QUERY)


async def test_one_call_never_exceeds_an_empty_queue() -> None:
    async with machine(Limits(max_queue=10), rate=1e-6) as engine:
        vectors = await engine.submit(*[10] * 50).wait()
    assert len(vectors) == 50


async def test_queue_length_counts_waiting_and_running_texts_per_lane() -> None:
    seen: list[tuple[int, int]] = []

    def look(_: int) -> None:
        seen.append((engine.scheduler.queue_length(LANE_QUERY), engine.scheduler.queue_length(LANE_BULK)))

    async with machine(rate=0.001) as engine:
        engine.during_batch = look
        bulk = engine.submit(*[10] * 4, lane=LANE_BULK)
        await engine.submit(*[10] * 3).wait()
        await bulk.wait()
        assert engine.scheduler.queue_length(LANE_QUERY) == 0
        assert engine.scheduler.queue_length(LANE_BULK) == 0
    # Two of the three queries fit one batch.
    assert seen == [(3, 4), (1, 4), (0, 4)]


async def test_a_failed_batch_fails_its_callers_only_and_three_in_a_row_ask_for_a_restart() -> None:
    async with machine() as engine:
        engine.failing = True
        for failures in range(1, 4):
            with pytest.raises(RequestError, match="failed to compute: broken"):
                await engine.submit(10).wait()
            assert (engine.scheduler.not_alive() is not None) == (failures == 3)
        engine.failing = False
        await engine.submit(10).wait()
        assert engine.scheduler.not_alive() is None


async def test_a_failed_batch_teaches_nothing_and_is_not_counted_as_computed() -> None:
    async with machine(rate=0.001) as engine:
        before = engine.scheduler._speed.estimate(1000)
        engine.failing = True
        with pytest.raises(RequestError):
            await engine.submit(*[10] * 100).wait()
        assert engine.scheduler._speed.estimate(1000) == before
        assert engine.batches == []


async def test_an_error_that_no_engine_announces_fails_its_batch_and_the_queue_goes_on() -> None:
    async with machine() as engine:
        compute, engine.scheduler._compute = engine.scheduler._compute, _surprised
        with pytest.raises(RequestError, match="failed to compute: KeyError: 'shape'"):
            await asyncio.wait_for(engine.submit(10).wait(), 5)
        engine.scheduler._compute = compute
        await asyncio.wait_for(engine.submit(10).wait(), 5)
        assert engine.scheduler.not_alive() is None


async def _surprised(texts: Sequence[TokenIds]) -> Vectors:
    raise KeyError("shape")


async def test_too_few_vectors_are_a_failure_of_the_whole_batch() -> None:
    async with machine() as engine:
        compute = engine.scheduler._compute
        engine.scheduler._compute = lambda texts: compute(texts[:-1])
        with pytest.raises(RequestError, match="failed to compute: ValueError"):
            await asyncio.wait_for(engine.submit(10, 10).wait(), 5)


async def test_a_queue_without_its_owner_asks_for_a_restart() -> None:
    async with machine() as engine:
        engine.scheduler._observer = None  # type: ignore[assignment]  # a bug of our own
        engine.submit(10)
        while not engine.scheduler.not_alive():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0)
        assert (engine.scheduler.not_alive() or "").startswith("nobody works on the queue any more: AttributeError: ")


def overflow_at(engine: Machine, length: int) -> None:
    compute = engine.scheduler._compute

    async def overflows(texts: Sequence[TokenIds]) -> Vectors:
        vectors = await compute(texts)
        vectors[[len(text) == length for text in texts]] = float("nan")
        return vectors

    engine.scheduler._compute = overflows


async def test_a_text_that_becomes_nan_fails_its_own_caller_and_not_those_who_share_its_batch() -> None:
    async with machine(rate=0.0001) as engine:
        overflow_at(engine, 13)
        calls = [engine.submit(length).wait() for length in (12, 13, 14)]
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert len(engine.batches) == 1
    assert isinstance(found[1], RequestError)
    assert (found[1].status, found[1].message) == (422, "the model makes NaN or infinity of input[0]")
    assert [vector.tolist() for vector in (found[0], found[2])] == [[[0, 12]], [[0, 14]]]  # type: ignore[union-attr]


async def test_a_text_that_becomes_nan_alone_in_its_batch_is_its_own_failure_and_not_the_engines() -> None:
    async with machine() as engine:
        overflow_at(engine, 13)
        for _ in range(FAILURES_BEFORE_RESTART):
            with pytest.raises(RequestError, match="NaN") as refused:
                await engine.submit(13).wait()
            assert refused.value.status == 422  # the indexer takes it for its document's failure, and does not ask again
        assert engine.scheduler.not_alive() is None


async def test_nan_is_a_failure_and_never_an_answer() -> None:
    class Damaged(Machine):
        async def compute(self, texts):  # type: ignore[no-untyped-def]
            return await super().compute(texts) * float("nan")

    async with machine() as engine:
        engine.scheduler._compute = Damaged(now=engine.now).compute
        with pytest.raises(RequestError, match="NaN") as failed:
            await engine.submit(10).wait()
        assert failed.value.status == 500
