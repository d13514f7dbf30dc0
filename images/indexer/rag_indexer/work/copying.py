"""Copy: fill a new index with another one's chunks and vectors. Nothing is embedded; sources are not read.

The other index may be in use and change meanwhile. So the ledger is looked at, chunks are copied, then the ledger is, and a document is
only called done when its row did not change and its copied chunks are exactly those the ledger names. What does not fit is removed and left
to the syncer, like any change. That rows of the origin came or went while they were counted is no error, as long as they are few.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from rag_indexer import probes
from rag_indexer.errors import IndexerError, PermanentError
from rag_indexer.reporting import MANAGER_JOB, Reporter
from rag_indexer.work import health
from rag_indexer.work.context import EMBEDDER_SECONDS, Context
from rag_runtime.contracts import collections as names
from rag_runtime.contracts.collections import chunks_digest
from rag_runtime.contracts.index import Index
from rag_runtime.contracts.index_status import Build, CopyFrom, timestamp
from rag_runtime.milvus.errors import IncompleteReadError
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.rows import Chunk, LedgerRow, Vector
from rag_runtime.milvus.scan import reread

logger = logging.getLogger(__name__)

T = TypeVar("T")
_BATCH = 1_024
# Of an origin that changes while it is read, so much may be left to the syncer: a share of the documents, or a few.
# More is no writer at work but a server that forgets.
_LEFT_FRACTION = 0.1
_LEFT = 64


class CopyRun:
    """One copy. Resumable: rows that are there are not written again, and what the origin has no more is removed."""

    def __init__(self, context: Context, index: Index, *, must_shorten: bool = False) -> None:
        self._context = context
        self._index = index
        self._wanted = index.spec.identity.content.dimensions
        self._from = _origin(index, self._wanted, must_shorten)
        self._reporter = Reporter(context.sink, index.name, MANAGER_JOB)
        self._build = Build(start_time=timestamp(time.time()))
        self._is_moving = False

    async def run(self) -> dict[str, Any]:
        """Do it. Returns the summary; raises what ends the attempt."""
        spec = self._index.spec
        self._reporter.set(acknowledged=spec.work.to_wire())
        ignored = await health.check_server(self._context, self._index)
        client = await self._context.milvus(spec.milvus)
        origin = self._context.open_store(client, self._from.collection)
        store = await self._context.store(spec)
        if not await asyncio.to_thread(origin.exists):
            raise PermanentError(f"there is no collection {self._from.collection} to copy from")
        await self._context.create(self._index, store)
        try:
            before = await asyncio.to_thread(self._looked_at, origin)
            keys = await self._chunks(origin, store)
            documents = await self._ledger(origin, store, keys, before)
            await asyncio.to_thread(reread, partial(_remove_others, store, documents, keys))
        except Exception as error:
            await self._tell(message=str(error))
            raise
        return await self._finish(origin, store, len(documents), ignored)

    def _looked_at(self, origin: IndexStore) -> dict[str, int]:
        """What each document's row says of its chunks, as a hash: there may be millions. Blocks."""
        return {row.document: _said(row) for page in self._as_found(origin.scan_ledger()) for row in page}

    async def _chunks(self, origin: IndexStore, store: IndexStore) -> dict[str, list[str]]:
        """Copy every chunk; returns the keys by document."""
        keys: dict[str, list[str]] = {}
        pages = self._as_found(origin.scan_chunks(vectors=True))
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            for start in range(0, len(page), _BATCH):
                await asyncio.to_thread(self._copy, store, page[start : start + _BATCH])
            for chunk in page:
                keys.setdefault(chunk.document, []).append(chunk.key)
            self._build = self._build.model_copy(update={"chunks": self._build.chunks + len(page)})
            await self._tell()
        return keys

    def _copy(self, store: IndexStore, chunks: Sequence[Chunk]) -> None:
        there = {chunk.key: chunk.attributes for chunk in store.chunks_by_key([chunk.key for chunk in chunks])}
        missing = [self._shortened(chunk) for chunk in chunks if chunk.key not in there]
        # Positions and metadata may have changed since an earlier attempt while the key stayed.
        moved = [self._shortened(chunk) for chunk in chunks if there.get(chunk.key, chunk.attributes) != chunk.attributes]
        store.insert_chunks(missing)
        store.rewrite_chunks(moved)
        written = [chunk.key for chunk in (*missing, *moved)]
        if lost := set(written) - store.present(written):
            raise IndexerError(f"{len(lost)} copied chunks cannot be read")

    def _shortened(self, chunk: Chunk) -> Chunk:
        return replace(chunk, vector=shortened(chunk.vector, self._wanted))

    def _as_found(self, pages: Iterator[T]) -> Iterator[T]:
        """The pages of the origin, which may not be all that were counted."""
        try:
            yield from pages
        except IncompleteReadError as error:
            self._is_moving = True
            logger.info("the origin changes while it is read", extra={"reason": str(error)})

    async def _ledger(
        self, origin: IndexStore, store: IndexStore, keys: Mapping[str, Sequence[str]], before: Mapping[str, int]
    ) -> set[str]:
        """Copy the ledger rows that the copied chunks agree with and that say what they said before. Returns their documents."""
        done: set[str] = set()
        known = set(keys)
        pages = self._rows(origin, keys)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            # A row that changed may have moved chunks, or given them other metadata, after they were copied.
            same = [row for row in page if before.get(row.document, _said(row)) == _said(row)]
            rows = [row for row in same if _agrees(row, keys.get(row.document, []))]
            await asyncio.to_thread(store.put_ledger, rows)
            done |= {row.document for row in rows}
            known |= {row.document for row in page if row.chunk_count}
            self._build = self._build.model_copy(update={"documents": len(done)})
        self._check_left(len(known - done), len(known))
        return done

    def _rows(self, origin: IndexStore, keys: Mapping[str, Sequence[str]]) -> Iterator[Sequence[LedgerRow]]:
        """The ledger. A document with chunks whose row no page had is asked for: without it the chunks would be made anew, or lost."""
        unseen = set(keys)
        for page in self._as_found(origin.scan_ledger()):
            unseen.difference_update(row.document for row in page)
            yield page
        if unseen:
            yield list(origin.ledger_of(sorted(unseen)).values())

    def _check_left(self, left: int, known: int) -> None:
        if self._is_moving and left > max(_LEFT, _LEFT_FRACTION * known):
            raise IndexerError(f"{left} of {known} documents changed while they were copied, or were not read whole")

    async def _finish(self, origin: IndexStore, store: IndexStore, documents: int, ignored: list[str]) -> dict[str, Any]:
        await self._about(origin, store)
        await asyncio.to_thread(store.flush)
        await asyncio.to_thread(self._verify, store, documents)
        ignored = ignored + await asyncio.to_thread(store.load, self._index.spec.milvus.replicas)
        pending = await health.indexed(store)
        observed = await health.observe(self._context, self._index, store, None, equal="Equal", ignored=ignored)
        self._reporter.set(observed=observed.to_wire(), completed=self._index.spec.work.to_wire())
        self._build = self._build.model_copy(update={"total": documents, "completion_time": timestamp(time.time())})
        await self._tell()
        chunks = await asyncio.to_thread(store.count_chunks)
        return {
            "command": "copy",
            "index": self._index.name,
            "documents": documents,
            "chunks": chunks,
            "embedded": 0,
            "pendingRows": pending,
        }

    async def _about(self, origin: IndexStore, store: IndexStore) -> None:
        """What is known of the model comes along; shorter vectors are another embedder's, which must be of the same weights."""
        kept = await asyncio.to_thread(probes.stored_probes, origin, self._from.dimensions)
        cut = [shortened(vector, self._wanted) for vector in kept]
        made_with = await asyncio.to_thread(probes.stored_precision, origin)
        if cut:
            await asyncio.to_thread(probes.store_probes, store, cut, time.time(), made_with)
        if self._from.dimensions == self._wanted:
            known = await asyncio.to_thread(origin.ledger_of, [health.ABOUT])
            await asyncio.to_thread(store.put_ledger, list(known.values()))
            return
        model = await self._context.model(self._index.spec.embedder, patience=EMBEDDER_SECONDS)
        if cut and not probes.compare(cut, await probes.vectors(model.embedder), made_with, model.card.precision).equal:
            raise PermanentError("the embedder's vectors are not those of the other index, cut: its weights are others")
        await health.remember_about(store, model)

    def _verify(self, store: IndexStore, documents: int) -> None:
        """Compare the copy with its own ledger, which was the origin's."""
        from rag_indexer.work.sweeping import inspect

        findings = inspect(store)
        if not findings.sound or findings.documents < documents:
            raise IndexerError(
                f"the copy is not whole: {findings.documents} of {documents} documents, {len(findings.incomplete)} lack chunks, "
                f"{len(findings.orphans)} chunks have no document, {len(findings.twice)} keys are there twice"
            )

    async def _tell(self, message: str = "") -> None:
        self._reporter.set(build=self._build.model_copy(update={"message": message[:1_000]}).to_wire())
        await self._reporter.changed() if not message and self._build.completion_time is None else await self._reporter.flush()


def shortened(vector: Vector | None, dimensions: int) -> Vector:
    """The first `dimensions` numbers, at unit length again when some were cut; else the vector as it is."""
    if vector is None:
        raise ValueError("a chunk without a vector")
    if len(vector) == dimensions:
        return vector
    cut = vector[:dimensions]
    unit: Vector = (cut / max(float(np.linalg.norm(cut)), 1e-12)).astype(np.float32)
    return unit


def _origin(index: Index, wanted: int, must_shorten: bool) -> CopyFrom:
    origin = index.spec.work.from_
    if origin is None:
        raise PermanentError(f"work of {index.name} has no `from`: there is nothing to copy")
    if origin.dimensions < wanted or (must_shorten and origin.dimensions == wanted):
        raise PermanentError(f"vectors of {origin.dimensions} dimensions cannot be cut to {wanted}")
    return origin


def _remove_others(store: IndexStore, documents: set[str], keys: Mapping[str, Sequence[str]]) -> None:
    """Leave only these documents in the copy: others changed while they were copied, or since an earlier attempt. Blocks."""
    strangers = [row.document for page in store.scan_ledger() for row in page if row.document not in documents]
    store.delete_ledger(strangers)
    wanted = {key for document in documents for key in keys.get(document, ())}
    left = [key for page in store.scan_keys() for key, _ in page if key not in wanted]
    store.delete_chunks(left)
    if left or strangers:
        logger.info("documents changed while they were copied", extra={"ledger": len(strangers), "chunks": len(left)})


def _said(row: LedgerRow) -> int:
    """A hash of what a ledger row says of its document's chunks; another version of the same bytes says the same."""
    return hash((row.state, row.content_hash, row.chunks_digest, row.recipe))


def _agrees(row: LedgerRow, keys: Sequence[str]) -> bool:
    """Failed documents are copied too when they have no chunks: they need not be tried again at once."""
    if row.state in names.SETTLED:
        return chunks_digest(keys) == (row.chunks_digest or chunks_digest(()))
    return row.state == names.STATE_FAILED and not keys
