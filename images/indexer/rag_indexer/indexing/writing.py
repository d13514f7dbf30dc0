"""Writing documents into one index, so that a crash between any two writes is repaired by the next pass.

The order is the protocol: the ledger says `writing`; missing keys are inserted and seen with a Strong read; only then keys that are no
longer produced are deleted; then the ledger says `done`. A reader may see old and new chunks for a moment, never neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag_indexer.errors import IndexerError
from rag_indexer.indexing.planning import Plan
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_runtime.contracts import collections as names
from rag_runtime.milvus.rows import Chunk, LedgerRow, Vector


class LostWriteError(IndexerError):
    """The store acknowledged rows that it does not have."""


def write(target: Target, plans: Sequence[Plan], vectors: Mapping[str, Vector], spool: Spool) -> None:
    """Carry out `plans`; `vectors` by embedded text. Raises `MilvusError`, or `LostWriteError`."""
    touched = [plan for plan in plans if plan.touches_chunks]
    if touched:
        target.store.put_ledger([replace(plan.after, state=names.STATE_WRITING) for plan in touched])
        _insert(target, touched, vectors, spool)
        _rewrite(target, touched, spool)
        _delete(target, touched, spool)
    rows = [plan.after for plan in plans]
    target.store.put_ledger(rows)
    spool.put_ledger(target.name, rows)
    _count(target, plans)


def _insert(target: Target, plans: Sequence[Plan], vectors: Mapping[str, Vector], spool: Spool) -> None:
    chunks = [replace(chunk, vector=vectors[plan.texts[chunk.key]]) for plan in plans for chunk in plan.insert]
    if not chunks:
        return
    target.store.insert_chunks(chunks)
    spool.remember_written(target.name, [(chunk.key, chunk.document) for chunk in chunks])
    _see(target, [chunk.key for chunk in chunks])


def _rewrite(target: Target, plans: Sequence[Plan], spool: Spool) -> None:
    """Metadata or position changed: the stored vector is read back and written again, nothing is embedded."""
    moved: dict[str, Chunk] = {chunk.key: chunk for plan in plans for chunk in plan.rewrite}
    if moved:
        stored = {chunk.key: chunk.vector for chunk in target.store.with_vectors(list(moved))}
        if missing := moved.keys() - stored.keys():
            raise LostWriteError(f"{len(missing)} chunks vanished while they were read")
        target.store.rewrite_chunks([replace(chunk, vector=stored[key]) for key, chunk in moved.items()])
        spool.remember_written(target.name, [(key, chunk.document) for key, chunk in moved.items()])
        _see(target, list(moved))


def _see(target: Target, keys: Sequence[str]) -> None:
    if missing := set(keys) - target.store.present(keys):
        raise LostWriteError(f"{len(missing)} of {len(keys)} acknowledged chunks cannot be read")


def _delete(target: Target, plans: Sequence[Plan], spool: Spool) -> None:
    keys = [key for plan in plans for key in plan.delete]
    if keys:
        target.store.delete_chunks(keys)
        spool.forget_written(target.name, keys)


def _count(target: Target, plans: Sequence[Plan]) -> None:
    target.counts.documents += len(plans)
    target.counts.failed += sum(plan.after.state == names.STATE_FAILED for plan in plans)
    target.counts.inserted += sum(len(plan.insert) for plan in plans)
    target.counts.rewritten += sum(len(plan.rewrite) for plan in plans)
    target.counts.removed += sum(len(plan.delete) for plan in plans)


def delete_documents(target: Target, documents: Sequence[str], ledger: Mapping[str, LedgerRow], spool: Spool) -> None:
    """Remove documents with their chunks. The ledger row goes last: until then a crash is seen and repaired."""
    marked = [replace(row, state=names.STATE_DELETING) for document, row in ledger.items() if document in set(documents)]
    target.store.put_ledger(marked)
    spool.put_ledger(target.name, marked)
    keys = target.store.keys_of(documents)
    if keys:
        target.store.delete_chunks(keys)
        spool.forget_written(target.name, keys)
    if left := target.store.present(keys):
        raise LostWriteError(f"{len(left)} deleted chunks can still be read")
    target.store.delete_ledger(documents)
    spool.delete_ledger(target.name, documents)
    target.counts.deleted += len(documents)
    target.counts.removed += len(keys)
