"""One pass: one source, all indexes that live on it. List once, delete what is gone, fetch, parse and embed each change once, write.

Deletions come first and need no embedder. Reading, embedding and writing overlap: each stage hands batches to the next through a short
queue, so a slow stage slows the ones before it and memory stays bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rag_indexer.errors import IndexerError
from rag_indexer.indexing.batching import batches, each, first_reason
from rag_indexer.indexing.deleting import Held, delete_gone
from rag_indexer.indexing.leaving import LeftOut
from rag_indexer.indexing.preparing import Batch, Preparing
from rag_indexer.indexing.reading import Listed, Reader, Select, take_listing
from rag_indexer.indexing.rereading import Rereading
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_indexer.indexing.threads import Threads
from rag_indexer.indexing.writing import LostWriteError, write
from rag_indexer.sources.port import Source
from rag_runtime.milvus.errors import IncompleteReadError, MilvusError

logger = logging.getLogger(__name__)

# Between two stages; more would only be embedded again after a crash.
QUEUED_BATCHES = 1
# Batches that are compared and embedded at the same time, so that requests are always waiting at the embedder.
EMBEDDING_BATCHES = 2
# Batches that may be embedded and not yet written: what a crash costs.
BATCHES_AT_RISK = EMBEDDING_BATCHES + QUEUED_BATCHES + 1
# How often writes that were acknowledged and lost are done again before the pass fails.
REPAIRS = 3
_LEDGER_READS = 3

Clock = Callable[[], float]


class PassStoppedError(IndexerError):
    """The pass was asked to stop; what it wrote is whole."""


@dataclass
class Outcome:
    """What a pass came to for one index. `applied`: it holds everything the listing has (what failed is in its ledger).

    `failure`: it fell out of the pass.
    """

    listed: Listed
    applied: bool = True
    held: Held | None = None
    error: str = ""
    failure: Exception | None = None
    seconds: float = 0.0


class SourcePass:
    """Brings `targets` up to date with `source`. Raises `SourceError`, `EmbedderError`, `MilvusError`; repeating it is always safe."""

    def __init__(
        self,
        source: Source,
        select: Select,
        targets: Sequence[Target],
        spool: Spool,
        *,
        clock: Clock = time.time,
        on_read: Callable[[int], None] = lambda _: None,
        on_listed: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._select = select
        self._targets = {target.name: target for target in targets}
        self._spool = spool
        self._clock = clock
        self._on_read, self._on_listed = on_read, on_listed
        self._threads = Threads()
        self._left_out = LeftOut(self._targets, spool)
        self._rereading = Rereading(self._targets, spool, self._threads, self._left_out)
        self._preparing = Preparing(self._targets, spool, clock, self._left_out)
        self._stopping = False

    def stop(self) -> None:
        """Take up nothing more; what is under way is written, then `run` raises `PassStoppedError`."""
        self._stopping = True

    async def run(self) -> dict[str, Outcome]:
        """One pass. Of several indexes, one whose collections or embedder fail gets an error of its own and does not hold up the others.

        When it returns or raises, nothing of it writes any more.
        """
        try:
            return await self._run()
        except (IndexerError, asyncio.CancelledError):
            await self._rereading.look_before_leaving()
            raise
        finally:
            await self._threads.ended()

    async def _run(self) -> dict[str, Outcome]:
        began = self._clock()
        low, high = min(t.low for t in self._targets.values()), max(t.high for t in self._targets.values())
        listed = await take_listing(self._source, self._spool, self._select, now=began, low=low, high=high, on_file=self._has_progress)
        logger.debug("listed", extra={"source": self._source.name, "listing": listed.id, "documents": listed.documents})
        self._on_listed()
        outcomes = {name: Outcome(listed) for name in self._targets}
        for name in self._targets:
            await self._delete(name, outcomes[name])
        self._plan()
        changes = sum(self._spool.planned(name) for name in self._targets)
        if changes or any(outcome.held for outcome in outcomes.values()):
            logger.info("changes", extra={"source": self._source.name, "listing": listed.id, "of": listed.documents, "documents": changes})
        await self._apply(changes)
        await self._repair()
        for name, outcome in outcomes.items():
            outcome.failure = self._left_out.why.get(name)
            outcome.error = str(outcome.failure) if outcome.failure else self._targets[name].mismatch
            outcome.seconds = self._clock() - began
            outcome.applied = outcome.held is None and not outcome.error and not self._targets[name].cold
        return outcomes

    async def _repair(self) -> None:
        """Write again what was acknowledged and lost."""
        for _ in range(REPAIRS):
            if not (lost := await self._lost()):
                return
            await self._apply(sum(map(len, lost.values())))
        for name, documents in (await self._lost()).items():
            text = f"{len(documents)} documents were written and acknowledged {REPAIRS + 1} times and cannot be read"
            self._left_out.add(name, LostWriteError(text))

    async def _lost(self) -> dict[str, set[str]]:
        lost = await self._rereading.lost()
        for name, documents in lost.items():
            logger.warning("acknowledged writes were lost", extra={"index": name, "documents": len(documents)})
        return lost

    async def _delete(self, name: str, outcome: Outcome) -> None:
        target = self._targets[name]
        try:
            deleted = target.counts.deleted
            remove = partial(delete_gone, target, self._source.name, outcome.listed.id, self._spool, now=self._clock())
            outcome.held = await self._threads.run(remove)
            if target.counts.deleted > deleted:
                self._rereading.wrote(name)
        except (MilvusError, LostWriteError) as error:
            self._left_out.add(name, error)

    def _has_progress(self) -> None:
        for target in self._targets.values():
            target.on_progress()

    def _plan(self) -> None:
        self._spool.clear_plan()
        for target in self._targets.values():
            if not (target.mismatch or target.cold or target.name in self._left_out):
                self._spool.plan_changes(target.name, self._source.name, target.recipe, self._clock())

    async def _apply(self, changes: int) -> None:
        if not changes:
            return
        read: asyncio.Queue[Batch | None] = asyncio.Queue(QUEUED_BATCHES)
        ready: asyncio.Queue[Batch | None] = asyncio.Queue(QUEUED_BATCHES)
        flushing = asyncio.create_task(self._rereading.flush_now_and_then())
        try:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self._read(read))
                for _ in range(EMBEDDING_BATCHES):
                    stages.create_task(self._embed(read, ready))
                stages.create_task(self._write(ready))
        except BaseExceptionGroup as group:
            raise first_reason(group) from group
        finally:
            flushing.cancel()
            await asyncio.wait({flushing})
            await self._threads.ended()
        if self._stopping:
            raise PassStoppedError("the pass was stopped before its end")

    async def _read(self, out: asyncio.Queue[Batch | None]) -> None:
        reader = Reader(self._source)
        for wanted in batches(self._spool.changes(self._source.name)):
            if self._stopping:
                break
            documents = await asyncio.gather(*(reader.read(document, entry) for document, entry, _ in wanted))
            kept = [document for document in documents if not document.gone]
            self._on_read(len(kept))
            await out.put(Batch(kept, {document: targets for document, _, targets in wanted}))
        for _ in range(EMBEDDING_BATCHES):
            await out.put(None)

    async def _embed(self, into: asyncio.Queue[Batch | None], out: asyncio.Queue[Batch | None]) -> None:
        async for batch in each(into):
            await self._preparing.prepare(batch)
            await out.put(batch)
        await out.put(None)

    async def _write(self, into: asyncio.Queue[Batch | None]) -> None:
        async for batch in each(into, ends=EMBEDDING_BATCHES):
            await asyncio.gather(*(self._write_one(name, batch) for name in batch.plans))

    async def _write_one(self, name: str, batch: Batch) -> None:
        target = self._targets[name]
        if not batch.plans[name] or name in self._left_out:
            return
        self._rereading.wrote(name)
        try:
            await self._threads.run(write, target, batch.plans[name], batch.vectors[name], self._spool)
        except (MilvusError, LostWriteError) as error:
            self._left_out.add(name, error)
        else:
            target.on_progress()


async def load_ledger(target: Target, spool: Spool) -> None:
    """Read an index's ledger into the spool, which keeps what it has when that fails. Raises `MilvusError`.

    `IncompleteReadError`: it cannot be read whole.
    """
    for attempt in range(1, _LEDGER_READS + 1):
        try:
            return await asyncio.to_thread(_load_ledger, target, spool)
        except IncompleteReadError:
            if attempt == _LEDGER_READS:
                raise
    return None


def _load_ledger(target: Target, spool: Spool) -> None:
    spool.replace_ledger(target.name, target.store.scan_ledger(target.low, target.high))
