"""One request's texts while they wait and are computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from rag_embedder.engines.base import Vectors
from rag_embedder.tokens import TokenIds


class Call:
    """Texts of one caller. `wait()` returns all vectors, or raises what kept the first of them from being computed."""

    __slots__ = ("_done", "_missing", "_vectors", "deadline", "lane", "on_abandoned", "texts")

    def __init__(self, texts: Sequence[TokenIds], lane: str, deadline: float | None) -> None:
        self.texts = texts
        self.lane = lane
        self.deadline = deadline  # on the scheduler's clock
        self.on_abandoned: Callable[[Call], None] | None = None
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._missing = len(texts)
        self._vectors: Vectors | None = None

    @property
    def over(self) -> bool:
        """Answered, failed or given up: nothing of it needs computing."""
        return self._done.done()

    def store(self, place: int, vector: Vectors) -> None:
        """Keep one text's vector; the last one wakes the caller."""
        if self.over:
            return
        if self._vectors is None:
            self._vectors = np.empty((len(self.texts), vector.shape[0]), np.float32)
        self._vectors[place] = vector
        self._missing -= 1
        if not self._missing:
            self._done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Tell the caller; texts that still wait are dropped."""
        if not self.over:
            self._done.set_exception(error)
            self._abandon()

    async def wait(self) -> Vectors:
        """Vectors in the order of the texts. Cancelling it drops the texts that still wait: the caller hung up."""
        try:
            await self._done
        except asyncio.CancelledError:
            self._done.cancel()
            self._abandon()
            raise
        assert self._vectors is not None
        return self._vectors

    def _abandon(self) -> None:
        if self.on_abandoned:
            self.on_abandoned(self)
