"""How long a request may still take. The clock is a parameter."""

from __future__ import annotations

import time
from collections.abc import Callable

from .errors import BadRequestError, DeadlineExceededError

Clock = Callable[[], float]


class Deadline:
    """A moment on a monotonic clock, in seconds."""

    __slots__ = ("_at", "_clock")

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self, doing: str) -> float:
        """Seconds left, more than 0. Raises `DeadlineExceededError` that says what was being done."""
        left = self._at - self._clock()
        if left <= 0:
            raise DeadlineExceededError(f"the time ran out while {doing}")
        return left

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(min(seconds, self._at - self._clock()), self._clock)


def asked_for(header: str | None, most: float) -> float:
    """Seconds that a request may take: the caller's milliseconds, at most `most`. Raises `BadRequestError` when they are not a number."""
    if header is None:
        return most
    if not header.isascii() or not header.isdigit() or int(header) == 0:
        raise BadRequestError(f"x-rag-deadline-ms: {header[:40]!r} is not a positive number of milliseconds", param="x-rag-deadline-ms")
    return min(most, int(header) / 1000)
