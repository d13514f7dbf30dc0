"""How long a request may still take. The clock is a parameter."""

from __future__ import annotations

import time
from collections.abc import Callable

from .errors import BadRequestError, DeadlineExceededError

Clock = Callable[[], float]

# As the embedder has it; a longer number is a mistake, and some cannot even be computed with.
MOST_DIGITS = 12
# Upstreams are told whole milliseconds of what is left, and some end a little before them.
EARLY_SECONDS = 0.05


class Deadline:
    """A moment on a monotonic clock, in seconds. `callers`: it is sooner than what every request may take."""

    __slots__ = ("_at", "_callers", "_clock")

    def __init__(self, seconds: float, clock: Clock = time.monotonic, *, callers: bool = False) -> None:
        self._clock = clock
        self._at = clock() + seconds
        self._callers = callers

    @property
    def given_up(self) -> bool:
        """Whether the caller's own time is over; what the gateway allows may not be."""
        return self._callers and self._clock() >= self._at - EARLY_SECONDS

    def remaining(self, doing: str) -> float:
        """Seconds left, more than 0. Raises `DeadlineExceededError` that says what was being done."""
        left = self._at - self._clock()
        if left <= 0:
            raise DeadlineExceededError(f"the time ran out while {doing}")
        return left

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(min(seconds, self._at - self._clock()), self._clock)


def asked_for(header: str | None, most: float, clock: Clock = time.monotonic) -> Deadline:
    """When a request must have ended: the caller's milliseconds, at most `most` s. Raises `BadRequestError` when they are not a number."""
    if header is None:
        return Deadline(most, clock)
    if not header.isascii() or not header.isdigit() or len(header) > MOST_DIGITS or int(header) == 0:
        message = f"x-rag-deadline-ms: {header[:40]!r}, allowed: whole milliseconds, 1 or more, of at most {MOST_DIGITS} digits"
        raise BadRequestError(message, param="x-rag-deadline-ms")
    seconds = int(header) / 1000
    return Deadline(min(most, seconds), clock, callers=seconds < most)
