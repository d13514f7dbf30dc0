from __future__ import annotations

import asyncio
import threading

import pytest

from rag_indexer.indexing.threads import Threads


async def test_a_thread_is_waited_for_when_its_task_is_gone() -> None:
    threads, begun, release, done = Threads(), threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()
        done.set()

    task = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ending = asyncio.create_task(threads.ended())
    await asyncio.sleep(0)
    ending.cancel()
    assert not (await asyncio.wait({ending}, timeout=0.05))[0], "it waits even when it is cancelled"
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert done.is_set()


async def test_answers_and_exceptions_come_through() -> None:
    threads = Threads()
    assert await threads.run(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(int, "seven")
    await threads.ended()
