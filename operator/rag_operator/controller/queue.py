"""Which pipeline is looked at next: each key at most once in the queue and at most once in work, with backoff after failures.

A key that changes while it is in work is looked at again afterwards. A failing key waits longer each time; an ordinary event does not cut
that short (the events are often echoes of the failing pass), an urgent one does: a person changed something.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
Clock = Callable[[], float]


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait after the n-th failure in a row: doubling, with up to a tenth more so that keys drift apart."""

    first: float = 0.5
    limit: float = 60.0

    def after(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """The wait after this many failures."""
        wait = min(self.limit, self.first * 2.0 ** min(failures - 1, 32))
        return wait * (1 + 0.1 * chance())


class Queue(Generic[K]):
    """Keys that are due now or later. One event loop only."""

    def __init__(self, backoff: Backoff, clock: Clock) -> None:
        self._backoff, self._clock = backoff, clock
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._working: dict[K, float] = {}
        self._again: dict[K, bool] = {}
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: K, *, after: float = 0.0, urgent: bool = False) -> None:
        """Look at the key in `after` seconds at the latest. `urgent` forgets its failures."""
        if key in self._working:
            self._again[key] = self._again.get(key, False) or urgent
            return
        if urgent:
            self._failures.pop(key, None)
        elif key in self._failures and key in self._due:
            return
        self._schedule(key, self._clock() + after)

    async def get(self) -> K:
        """The next key that is due; it is in work until `done`."""
        while True:
            wait = self._wait()
            if wait is not None and wait <= 0:
                return self._pop()
            self._changed.clear()
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def done(self, key: K, *, again_after: float | None = None) -> None:
        """The key was brought to its spec; look again then, or when something happens."""
        self._failures.pop(key, None)
        self._finish(key, again_after)

    def failed(self, key: K, *, at_least: float = 0.0) -> float:
        """The key could not be brought to its spec. Returns the seconds until the next try."""
        self._failures[key] = self._failures.get(key, 0) + 1
        wait = max(at_least, self._backoff.after(self._failures[key]))
        urgent = self._again.pop(key, False)
        self._working.pop(key, None)
        if urgent:
            self._failures.pop(key, None)
        self._schedule(key, self._clock() + (0.0 if urgent else wait))
        return wait

    def forget(self, key: K) -> None:
        """The key does not exist any more."""
        self._failures.pop(key, None)
        self._due.pop(key, None)
        self._finish(key, None)

    @property
    def depth(self) -> int:
        """Keys that are due now."""
        now = self._clock()
        return sum(due <= now for due in self._due.values())

    @property
    def age(self) -> float:
        """Seconds that the oldest due key has waited, or the slowest pass has worked."""
        now = self._clock()
        return max([0.0, *(now - due for due in self._due.values()), *(now - since for since in self._working.values())])

    def _finish(self, key: K, again_after: float | None) -> None:
        self._working.pop(key, None)
        if self._again.pop(key, None) is not None:
            again_after = 0.0
        if again_after is not None:
            self._schedule(key, self._clock() + again_after)

    def _schedule(self, key: K, due: float) -> None:
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, key))
        self._changed.set()

    def _wait(self) -> float | None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # moved to an earlier time, taken or forgotten
        return self._heap[0][0] - self._clock() if self._heap else None

    def _pop(self) -> K:
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        self._working[key] = self._clock()
        return key
