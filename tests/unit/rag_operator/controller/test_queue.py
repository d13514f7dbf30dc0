"""The queue: one look at a time, none forgotten, patience with what fails."""

from __future__ import annotations

import asyncio

import pytest

from rag_operator.controller.queue import Backoff, Queue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue[str]:
    return Queue(Backoff(first=1.0, limit=8.0), clock)


async def test_a_key_that_is_added_twice_is_looked_at_once(queue: Queue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.depth == 0


async def test_a_key_in_work_is_never_given_to_a_second_worker_but_looked_at_again(queue: Queue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.01)
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_worker_that_is_cancelled_while_a_key_comes_ends(queue: Queue[str]) -> None:
    queue.add("later", after=5)
    worker = asyncio.create_task(queue.get())
    for _ in range(3):
        await asyncio.sleep(0)  # it waits for the first of two: the time, or another key
    queue.add("a")
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


async def test_what_is_due_sooner_comes_first(queue: Queue[str], clock: Clock) -> None:
    queue.add("later", after=5)
    queue.add("sooner", after=2)
    clock.now = 6
    assert [await queue.get(), await queue.get()] == ["sooner", "later"]


async def test_an_event_brings_a_distant_look_forward(queue: Queue[str]) -> None:
    queue.add("a", after=600)
    queue.add("a")
    assert await queue.get() == "a"


async def test_failures_wait_longer_each_time_up_to_the_limit(queue: Queue[str], clock: Clock) -> None:
    waits = []
    queue.add("a")
    for _ in range(6):
        await queue.get()
        waits.append(queue.failed("a"))
        clock.now += waits[-1]
    assert [round(wait) for wait in waits] == [1, 2, 4, 8, 8, 8] or all(
        base <= wait <= base * 1.1 for base, wait in zip((1, 2, 4, 8, 8, 8), waits, strict=True)
    )


async def test_the_servers_own_wish_to_wait_is_kept(queue: Queue[str]) -> None:
    queue.add("a")
    await queue.get()
    assert queue.failed("a", at_least=30) == 30


async def test_an_ordinary_event_does_not_cut_a_backoff_short(queue: Queue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.failed("a")
    queue.add("a")
    assert queue.depth == 0


@pytest.mark.parametrize("while_working", [False, True])
async def test_a_persons_change_cuts_a_backoff_short(queue: Queue[str], *, while_working: bool) -> None:
    queue.add("a")
    await queue.get()
    if while_working:
        queue.add("a", urgent=True)
    queue.failed("a")
    if not while_working:
        queue.add("a", urgent=True)
    assert queue.depth == 1


async def test_success_forgets_failures(queue: Queue[str], clock: Clock) -> None:
    for _ in range(3):
        queue.add("a", urgent=True)
        await queue.get()
        queue.failed("a")
    clock.now = 100
    await queue.get()
    queue.done("a")
    queue.add("a")
    await queue.get()
    assert queue.failed("a") < 2


async def test_a_waiting_worker_wakes_for_a_new_key(queue: Queue[str]) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await asyncio.wait_for(waiting, 1) == "a"


async def test_age_tells_how_long_the_oldest_waits_or_the_slowest_works(queue: Queue[str], clock: Clock) -> None:
    queue.add("a")
    clock.now = 7
    assert queue.age == 7
    await queue.get()
    clock.now = 10
    assert queue.age == 3


async def test_a_forgotten_key_does_not_come_back(queue: Queue[str], clock: Clock) -> None:
    queue.add("a")
    await queue.get()
    queue.forget("a")
    clock.now = 1000
    assert queue.depth == 0
