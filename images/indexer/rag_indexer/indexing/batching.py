"""Changes in groups, groups through queues, and the one reason why stages that ran together ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TypeVar

from rag_indexer.errors import IndexerError
from rag_indexer.sources.port import Entry
from rag_runtime.milvus.errors import MilvusError

T = TypeVar("T")
Wanted = list[tuple[str, Entry, frozenset[str]]]

BATCH_DOCUMENTS = 32
BATCH_BYTES = 8 * 1024 * 1024


def batches(changes: Iterable[tuple[str, Entry, frozenset[str]]]) -> Iterator[Wanted]:
    """Changes in groups that are read, embedded and written together."""
    batch: Wanted = []
    size = 0
    for change in changes:
        if batch and (len(batch) >= BATCH_DOCUMENTS or size + max(change[1].size, 0) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(change)
        size += max(change[1].size, 0)
    if batch:
        yield batch


async def each(queue: asyncio.Queue[T | None], ends: int = 1) -> AsyncIterator[T]:
    """What comes through a queue until every producer (`ends` of them) has put its None."""
    while ends:
        if (item := await queue.get()) is None:
            ends -= 1
        else:
            yield item


def first_reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The reason the stages ended. Our own kinds say most; a cancelled stage says nothing."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, IndexerError | MilvusError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
