"""How long a request may still take. The clock is a parameter."""

from __future__ import annotations

import time
from collections.abc import Callable

from .errors import BadRequestError, DeadlineExceededError

Clock = Callable[[], float]

# As the embedder has it; a longer number is a mistake, and some cannot even be computed with.
MOST_DIGITS = 12


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
    if not header.isascii() or not header.isdigit() or len(header) > MOST_DIGITS or int(header) == 0:
        message = f"x-rag-deadline-ms: {header[:40]!r}, allowed: whole milliseconds, 1 or more, of at most {MOST_DIGITS} digits"
        raise BadRequestError(message, param="x-rag-deadline-ms")
    return min(most, int(header) / 1000)
