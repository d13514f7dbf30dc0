"""Work that a process which ends does not wait for."""

from __future__ import annotations

import threading

import pytest

from rag_runtime.threads import in_daemon_thread


async def test_the_thread_keeps_no_process_from_ending_and_is_named() -> None:
    thread = await in_daemon_thread(threading.current_thread, "git")
    assert (thread.daemon, thread.name) == (True, "git")


async def test_what_the_call_raises_is_raised() -> None:
    def fails() -> None:
        raise KeyError("surprise")

    with pytest.raises(KeyError, match="surprise"):
        await in_daemon_thread(fails, "git")
