"""Waiting for what another process has come to, by asking again and again, and never for longer than is said.

A process's end and a line of its log can be waited for. That a server answers, or that a cluster is as it should be, nobody tells: it can
only be looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def until(
    condition: Callable[[], Answer | None],
    seconds: float,
    what: str,
    *,
    every: float = 0.1,
    error: Callable[[str], Exception] = TimeoutError,
) -> Answer:
    """Ask until the answer is true, and return it. Raises `error`, which says what was waited for, when it was not within `seconds`."""
    answer = within(condition, seconds, every=every)
    if not answer:
        raise error(f"waited {seconds:.0f} s in vain for {what}")
    return answer


def within(condition: Callable[[], Answer | None], seconds: float, *, every: float = 0.1) -> Answer | None:
    """Ask until the answer is true or the time is over, at least once; the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(every)
