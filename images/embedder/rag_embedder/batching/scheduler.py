"""The one task that owns the queue and decides what is computed next.

- Queries go first. Bulk work is owed a tenth of the time that queries take while it waits, and gets a batch when the debt pays for
  one: so bulk always moves, and queries wait for at most one bulk batch.
- A running batch cannot be interrupted, so batches are bounded by the time they will take (`Speed`): bulk ones by `max_bulk_batch`,
  query ones by `QUERY_BATCH_SECONDS` or twice what a batch costs before its first token, both by `max_batch_tokens`.
- When callers were more numerous a moment ago than texts wait now, the next batch waits for the others, at most `max_wait` and at
  most what a batch costs before its first token: waiting longer could save nothing.
- Texts of callers that hung up, and texts past their deadline, are dropped before they are computed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag_embedder.batching.calls import Call
from rag_embedder.batching.lane import Budget, Lane, Waiting
from rag_embedder.batching.speed import Speed
from rag_embedder.engines.base import Vectors
from rag_embedder.errors import EngineError, QueueFullError, RequestError
from rag_embedder.tokens import TokenIds
from rag_runtime.contracts.headers import LANE_BULK, LANE_QUERY

logger = logging.getLogger(__name__)

BULK_SHARE = 0.1
# Throughput no longer grows beyond it, and several batches in turn let answers be written while others are computed.
QUERY_BATCH_SECONDS = 0.025
# Batches that fail one after another before the pod asks to be restarted.
FAILURES_BEFORE_RESTART = 3
# What every sound engine computes: a model is not served without it.
_KNOWN: TokenIds = np.ones(16, np.int32)

Compute = Callable[[Sequence[TokenIds]], Awaitable[Vectors]]


@dataclass(frozen=True)
class Limits:
    """Bounds from the settings; seconds and tokens."""

    max_wait: float = 0.005
    max_batch_tokens: int = 16_384
    max_queue: int = 4_096
    max_bulk_batch: float = 0.05


class Observer(Protocol):
    """Hears of what happened; the metrics."""

    def batch(self, lane: str, rows: int, tokens: int, seconds: float) -> None:
        """A batch was computed."""

    def started(self, lane: str, waited: float) -> None:
        """The oldest text of a batch left the queue after `waited` seconds."""

    def dropped(self, lane: str, texts: int, reason: str) -> None:
        """Texts left the queue without being computed."""


class Scheduler:
    """`submit` from the event loop's thread; `run` is the owner's task."""

    def __init__(
        self,
        compute: Compute,
        limits: Limits,
        speed: Speed,
        observer: Observer,
        *,
        padded: bool,
        clock: Callable[[], float] = time.monotonic,  # not the loop's: uvloop's counts whole milliseconds
    ) -> None:
        self._compute = compute
        self._limits = limits
        self._speed = speed
        self._observer = observer
        self._padded = padded
        self._lanes = {name: Lane(name) for name in (LANE_QUERY, LANE_BULK)}
        self._running = dict.fromkeys(self._lanes, 0)
        self._clock = clock
        self._arrived = asyncio.Event()
        self._owed_to_bulk = 0.0
        self._last_callers = 0
        self._failures = 0
        self._ended = ""

    def queue_length(self, lane: str) -> int:
        """Texts waiting and running."""
        return self._lanes[lane].waiting + self._running[lane]

    def not_alive(self) -> str | None:
        """Why the pod should be restarted, for the liveness check."""
        if self._ended:
            return f"nobody works on the queue any more: {self._ended}"
        return f"the last {self._failures} batches failed" if self._failures >= FAILURES_BEFORE_RESTART else None

    def submit(self, texts: Sequence[TokenIds], lane: str, deadline_in: float | None = None) -> Call:
        """Queue one call. Raises `QueueFullError` when the lane has no room; an empty lane takes any one call."""
        queue = self._lanes[lane]
        if queue.waiting and queue.waiting + len(texts) > self._limits.max_queue:
            raise self._full(queue, len(texts))
        now = self._clock()
        call = Call(texts, lane, None if deadline_in is None else now + deadline_in)
        queue.add(call, now)
        self._arrived.set()
        return call

    def _full(self, queue: Lane, texts: int) -> QueueFullError:
        seconds = max(1, math.ceil(self._speed.estimate(queue.tokens)))
        found = f"{queue.waiting} texts wait in lane {queue.name} and {texts} more do not fit, allowed: {self._limits.max_queue}"
        return QueueFullError(found, retry_after=seconds)

    async def run(self) -> None:
        """Compute batches until cancelled. Should it end otherwise, `not_alive` says so."""
        try:
            while True:
                await self._turn()
        except Exception as error:
            self._ended = f"{type(error).__name__}: {error}"
            logger.exception("the queue's owner ended")

    async def _turn(self) -> None:
        if not any(lane.oldest() for lane in self._lanes.values()):
            self._arrived.clear()
            await self._arrived.wait()
        await self._wait_for_companions()
        lane = self._next_lane()
        batch = self._live(lane.take(self._budget(lane)))
        if batch:
            await self._run_batch(lane, batch)

    async def _wait_for_companions(self) -> None:
        start, _ = self._speed.line
        until = self._clock() + min(self._limits.max_wait, start)
        while sum(lane.waiting for lane in self._lanes.values()) < self._last_callers and (left := until - self._clock()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _next_lane(self) -> Lane:
        """Queries, unless none waits or bulk has earned a batch."""
        queries, bulk = self._lanes[LANE_QUERY], self._lanes[LANE_BULK]
        if not bulk.oldest():
            self._owed_to_bulk = 0.0
            return queries
        price = min(self._speed.estimate(bulk.tokens), self._limits.max_bulk_batch)
        return bulk if not queries.oldest() or self._owed_to_bulk >= price else queries

    def _budget(self, lane: Lane) -> Budget:
        start, _ = self._speed.line
        # A large model may need longer than that before its first token: queries would be computed one by one.
        seconds = self._limits.max_bulk_batch if lane.name == LANE_BULK else max(QUERY_BATCH_SECONDS, 2 * start)
        return Budget(min(self._speed.affordable(seconds), self._limits.max_batch_tokens), self._padded)

    def _live(self, batch: list[Waiting]) -> list[Waiting]:
        now = self._clock()
        for entry in batch:
            if not entry.call.over and entry.call.deadline is not None and entry.call.deadline <= now:
                self._observer.dropped(entry.call.lane, len(entry.call.texts), "deadline")
                entry.call.fail(RequestError(504, "the caller's deadline passed before its texts were computed", code="deadline_exceeded"))
        return [entry for entry in batch if not entry.call.over]

    async def _run_batch(self, lane: Lane, batch: list[Waiting]) -> None:
        began = self._clock()
        self._observer.started(lane.name, began - min(entry.since for entry in batch))
        self._last_callers = len({id(entry.call) for entry in batch})
        self._running[lane.name] = len(batch)
        try:
            vectors = await self._compute([entry.call.texts[entry.place] for entry in batch])
            sound = _sound(vectors)
            if not sound.any():
                await self._check_engine()
            _tell(batch, vectors, sound)
        except EngineError as error:
            self._failed(batch, error)
        except Exception as error:
            # Nobody knows all that an engine's libraries raise. It is this batch's failure; the others still need the queue's owner.
            logger.exception("a batch failed in a way that no engine announces")
            self._failed(batch, EngineError(f"{type(error).__name__}: {error}"))
        else:
            self._failures = 0
            self._learn(lane, batch, self._clock() - began)
        finally:
            self._running[lane.name] = 0
        self._owe(lane, self._clock() - began)

    async def _check_engine(self) -> None:
        """Raises `EngineError` when the engine makes nothing but NaN; otherwise it is the texts that do."""
        if not _sound(await self._compute([_KNOWN])).all():
            raise EngineError("the engine computed NaN or infinity")

    def _failed(self, batch: list[Waiting], error: EngineError) -> None:
        self._failures += 1
        logger.error("a batch failed", extra={"texts": len(batch), "error": str(error)})
        for entry in batch:
            entry.call.fail(_failure(error))

    def _learn(self, lane: Lane, batch: list[Waiting], seconds: float) -> None:
        # Only from what was computed: memory that runs out at once would make large batches look cheap, and the next ones larger.
        lengths = [entry.length for entry in batch]
        cost = Budget(0, self._padded).cost(len(lengths), sum(lengths), max(lengths))
        self._speed.observe(cost, seconds)
        self._observer.batch(lane.name, len(batch), sum(lengths), seconds)

    def _owe(self, lane: Lane, seconds: float) -> None:
        if lane.name == LANE_BULK:
            self._owed_to_bulk = max(self._owed_to_bulk - seconds, 0.0)
        else:
            # A tenth of the whole is a ninth of what the others take.
            self._owed_to_bulk += seconds * BULK_SHARE / (1 - BULK_SHARE)


def _sound(vectors: Vectors) -> NDArray[np.bool_]:
    sound: NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1)
    return sound


def _tell(batch: list[Waiting], vectors: Vectors, sound: NDArray[np.bool_]) -> None:
    """Give each text its vector. One whose numbers overflow costs its own caller the answer, not those who share its batch.

    422: asked again it would be no better. It names no field, for it is the model that cannot, and the text may be any.
    """
    for entry, vector, usable in list(zip(batch, vectors, sound, strict=True)):  # as many as texts, or none is believed
        if usable:
            entry.call.store(entry.place, vector)
        else:
            entry.call.fail(RequestError(422, f"the model makes NaN or infinity of input[{entry.place}]", code="not_finite"))


def _failure(error: EngineError) -> RequestError:
    return RequestError(500, f"failed to compute: {error}", code="engine_failed")
