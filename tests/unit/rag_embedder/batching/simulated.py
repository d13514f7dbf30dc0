"""A scheduler on simulated time: an engine that takes `start + rate · tokens` seconds, and a log of its batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from rag_embedder.batching.calls import Call
from rag_embedder.batching.scheduler import Limits, Scheduler
from rag_embedder.batching.speed import Speed
from rag_embedder.engines.base import Vectors
from rag_embedder.errors import EngineError
from rag_embedder.tokens import TokenIds
from rag_runtime.contracts.headers import LANE_QUERY


@dataclass
class Machine:
    """Engine, clock and observer in one. `during_batch(n)` is called while batch n runs, and may submit calls."""

    start: float = 0.0
    rate: float = 0.001
    now: float = 1000.0
    batches: list[tuple[str, list[int], float]] = field(default_factory=list)  # lane, [texts, tokens], seconds
    drops: list[tuple[str, int, str]] = field(default_factory=list)
    failing: bool = False
    during_batch: Callable[[int], None] = lambda _: None
    scheduler: Scheduler = field(init=False)

    def clock(self) -> float:
        return self.now

    async def compute(self, texts: Sequence[TokenIds]) -> Vectors:
        if self.failing:
            raise EngineError("broken")
        await asyncio.sleep(0)  # callers get their turn, as they do while a real engine computes
        self.now += self.start + self.rate * sum(map(len, texts))
        self.during_batch(len(self.batches))
        return np.array([[text[0], len(text)] for text in texts], np.float32)

    def batch(self, lane: str, rows: int, tokens: int, seconds: float) -> None:
        self.batches.append((lane, [rows, tokens], seconds))

    def started(self, lane: str, waited: float) -> None:
        pass

    def dropped(self, lane: str, texts: int, reason: str) -> None:
        self.drops.append((lane, texts, reason))

    def submit(self, *lengths: int, lane: str = LANE_QUERY, deadline_in: float | None = None) -> Call:
        """A call of texts with these lengths; the first token of each is its place."""
        texts = [np.full(length, place, np.int32) for place, length in enumerate(lengths)]
        return self.scheduler.submit(texts, lane, deadline_in)

    def lanes(self) -> list[str]:
        return [lane for lane, _, _ in self.batches]


@asynccontextmanager
async def machine(limits: Limits | None = None, *, padded: bool = False, **options: float) -> AsyncIterator[Machine]:
    """A machine whose speed is known from the start; `run()` it by awaiting calls."""
    made = Machine(**options)  # type: ignore[arg-type]
    speed = Speed()
    for cost in (10, 1000):
        speed.observe(cost, made.start + made.rate * cost)
    made.scheduler = Scheduler(made.compute, limits or Limits(), speed, made, padded=padded, clock=made.clock)
    owner = asyncio.create_task(made.scheduler.run())
    try:
        yield made
    finally:
        owner.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await owner
