"""From a question to passages, in one index: embed, search, group."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_runtime.contracts.routing import IndexRoute
from rag_runtime.milvus.search import (
    MAX_ROWS,
    Hit,
    SearchClient,
    SearchError,
    SearchRejectedError,
    SearchTimeoutError,
    SearchTooLargeError,
    SearchUnavailableError,
)
from rag_runtime.retry import RetryBudget

from .deadline import Deadline
from .errors import BadRequestError, DeadlineExceededError, GatewayError, UnavailableError, UpstreamInvalidError
from .requests import GroupBy
from .vectors import QueryEmbedder

logger = logging.getLogger(__name__)

# Chunks fetched per document wanted; more are fetched, four times as many each time, until there are enough documents.
OVERFETCH = 4
# Before a search is tried again; Milvus needs a moment to move a shard.
RETRY_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Passages, best first, and what they were found with: the collection searched and the length of the vector searched by."""

    hits: tuple[Hit, ...]
    collection: str
    dimension: int
    truncated: int


class Retriever:
    """Answers from one (embedder, index) pair."""

    def __init__(self, embedder: QueryEmbedder, search: SearchClient, index: IndexRoute, budget: RetryBudget) -> None:
        self._embedder = embedder
        self._search = search
        self._index = index
        self._budget = budget

    async def retrieve(self, text: str, k: int, group_by: GroupBy, expression: str, deadline: Deadline) -> Retrieved:
        """The best `k` chunks or documents. Raises a `GatewayError`."""
        vector = await self._embedder.embed(text, deadline)
        hits = await self._hits(vector.values, k, group_by, expression, deadline)
        return Retrieved(tuple(hits[:k]), self._index.collection, len(vector.values), vector.truncated)

    async def _hits(self, vector: NDArray[np.float32], k: int, group_by: GroupBy, expression: str, deadline: Deadline) -> list[Hit]:
        limit = min(k if group_by == "chunk" else OVERFETCH * k, MAX_ROWS)
        hits: list[Hit] = []
        while True:
            try:
                rows = await self._rows(vector, limit, expression, deadline)
            except BadRequestError:
                if not hits:
                    raise
                return hits  # the documents of as many chunks as the index gives at once
            hits = rows if group_by == "chunk" else best_chunks(rows)
            if len(hits) >= k or len(rows) < limit or limit == MAX_ROWS:
                return hits
            limit = min(OVERFETCH * limit, MAX_ROWS)

    async def _rows(self, vector: NDArray[np.float32], limit: int, expression: str, deadline: Deadline) -> list[Hit]:
        self._budget.earn()
        while True:
            try:
                return await self._search.search(
                    self._index.collection,
                    vector,
                    limit=limit,
                    metric=self._index.metric,
                    parameters=self._index.search,
                    expression=expression,
                    timeout=deadline.remaining("searching the index"),
                )
            except SearchError as error:
                pause = random.uniform(RETRY_PAUSE_SECONDS, 2 * RETRY_PAUSE_SECONDS)
                if not self._again(error) or deadline.remaining("searching the index") <= pause:
                    raise failure(error) from error
            await asyncio.sleep(pause)

    def _again(self, error: SearchError) -> bool:
        worth_it = isinstance(error, SearchUnavailableError) and not isinstance(error, SearchTimeoutError)
        return worth_it and self._budget.spend()


def best_chunks(hits: Sequence[Hit]) -> list[Hit]:
    """The first, so best, chunk of each document, in the order of the documents' scores."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.document, hit)
    return list(best.values())


def failure(error: SearchError) -> GatewayError:
    """What a search that failed means to the caller. The server's words go to the log, not to clients."""
    logger.warning("search failed", extra={"reason": str(error)})
    match error:
        case SearchTimeoutError():
            return DeadlineExceededError("the index did not answer in time")
        case SearchUnavailableError():
            return UnavailableError("the index cannot be searched now", code="index_unavailable", retry_after=2)
        case SearchTooLargeError():
            return BadRequestError("k: so many passages are more than the index gives at once, ask for fewer", param="k")
        case SearchRejectedError():
            return UpstreamInvalidError("the index refused the search", code="index_rejected")
        case _:
            return UpstreamInvalidError("the index's answer cannot be used", code="index_invalid")
