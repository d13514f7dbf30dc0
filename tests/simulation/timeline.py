"""Simulated time: what happens when, and the log of what happened."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from simulation.specs import letters

START = 1_700_000_000.0


class Timeline:
    """A clock that stands still between the things that happen. Without a seed everything takes as long as is said."""

    def __init__(self, seed: int | None = None) -> None:
        self.chance = random.Random(seed)
        self.calm = seed is None
        self.now = START
        self.lines: list[str] = []
        self.names = letters()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen later; with a seed, at a time of chance around that."""
        delay = seconds if self.calm else seconds * self.chance.uniform(0.3, 3.0)
        self._sequence += 1
        heapq.heappush(self._agenda, (self.now + delay, self._sequence, happen))

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Let something happen at an exact time."""
        self._sequence += 1
        heapq.heappush(self._agenda, (max(when, self.now), self._sequence, happen))

    def step(self) -> bool:
        """Let the next thing happen. False when nothing is due any more."""
        if not self._agenda:
            return False
        when, _, happen = heapq.heappop(self._agenda)
        self.now = max(self.now, when)
        happen()
        return True

    def next_time(self) -> float:
        """Return when the next thing happens."""
        return self._agenda[0][0] if self._agenda else float("inf")

    def say(self, line: str) -> None:
        """Add a line to the log, names as letters."""
        for name, letter in self.names.items():
            line = line.replace(name, letter)
        self.lines.append(f"{_clock(self.now - START)} {line}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"
