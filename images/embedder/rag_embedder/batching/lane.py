"""One lane's waiting texts, first come, first served, with neighbours of like length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_embedder.batching.calls import Call

# How far behind the first text companions of like length are looked for.
WINDOW = 512


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """One text in the queue."""

    call: Call
    place: int
    length: int
    since: float


@dataclass(frozen=True)
class Budget:
    """What a batch may cost: tokens in all, counted with padding when the engine pads."""

    tokens: int
    padded: bool

    def cost(self, rows: int, total: int, longest: int) -> int:
        """Cost of a batch."""
        return rows * longest if self.padded else total


class Lane:
    """The waiting texts and their sums. Whatever leaves `_texts` for good is counted out at that moment, and only there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting = 0
        self.tokens = 0
        self._texts: deque[Waiting] = deque()

    def add(self, call: Call, now: float) -> None:
        """Queue a call's texts; from now on its end is noticed."""
        entries = [Waiting(call, place, len(ids), now) for place, ids in enumerate(call.texts)]
        self._texts.extend(entries)
        self.waiting += len(entries)
        self.tokens += sum(entry.length for entry in entries)
        call.on_abandoned = self._abandoned

    def oldest(self) -> Waiting | None:
        """The text that is computed next."""
        while self._texts and self._texts[0].call.over:
            self._count_out([self._texts.popleft()])
        return self._texts[0] if self._texts else None

    def take(self, budget: Budget) -> list[Waiting]:
        """Remove and return a batch around the oldest text: those nearest to its length, as many as `budget` allows, at least itself."""
        window = list(self._pop_window())
        if not window:
            return []
        first = window[0]
        nearest = sorted(window[1:], key=lambda entry: abs(entry.length - first.length))
        batch, total, longest = [first], first.length, first.length
        for entry in nearest:
            total, longest = total + entry.length, max(longest, entry.length)
            if budget.cost(len(batch) + 1, total, longest) > budget.tokens:
                break
            batch.append(entry)
        chosen = set(batch)
        self._texts.extendleft(entry for entry in reversed(window) if entry not in chosen)
        self._count_out(batch)
        return batch

    def _pop_window(self) -> Iterator[Waiting]:
        found = 0
        while self._texts and found < WINDOW:
            entry = self._texts.popleft()
            if entry.call.over:
                self._count_out([entry])
            else:
                found += 1
                yield entry

    def _abandoned(self, call: Call) -> None:
        """Forget a dead call's texts at once, so that they make room and are no reason to scale."""
        gone = [entry for entry in self._texts if entry.call is call]
        if gone:
            self._texts = deque(entry for entry in self._texts if entry.call is not call)
            self._count_out(gone)

    def _count_out(self, entries: Sequence[Waiting]) -> None:
        self.waiting -= len(entries)
        self.tokens -= sum(entry.length for entry in entries)
