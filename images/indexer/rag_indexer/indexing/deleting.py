"""The guard on deletions, and deleting what a complete listing lacks.

A listing that lacks more than the allowed share of a source's documents deletes nothing: an unmounted volume or a wrong prefix must not
empty an index. What is held is written into the index itself, so that an approval given later, or before a restart, counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_indexer.indexing.writing import delete_documents
from rag_runtime.contracts import collections as names
from rag_runtime.milvus.rows import LedgerRow

_BATCH = 64


@dataclass(frozen=True)
class Held:
    """Deletions that wait: `documents` of `of` are missing from listing `listing`. `approval` is what stood approved when it began."""

    listing: str
    documents: int
    of: int
    approval: str | None

    def __str__(self) -> str:
        return f"the listing lacks {self.documents} of {self.of} documents: nothing is deleted until it is approved"


def delete_gone(target: Target, source: str, listing: str, spool: Spool, *, now: float, of: int | None = None) -> Held | None:
    """Delete the documents of `source` that its listing lacks, or hold them. Blocks; raises `MilvusError`.

    The share is taken of the source's documents, or of `of`, where the source itself is gone from the spec.
    """
    gone = spool.gone(target.name, source)
    known = spool.tally(target.name, source)[1] if of is None else of
    before = _recorded(target, source)
    held = _verdict(target, gone, known, before, listing)
    if held is None:
        _delete(target, gone, spool)
        if before is not None:
            target.store.delete_ledger([_row_name(source)])
    elif before is None or (held.documents, held.of, held.approval) != (before.documents, before.of, before.approval):
        target.store.put_ledger([_row(source, held, now)])
    return held


def _verdict(target: Target, gone: Sequence[str], known: int, before: Held | None, listing: str) -> Held | None:
    if len(gone) <= target.max_delete_fraction * known:
        return None
    if before is None:
        return Held(listing, len(gone), known, target.approval)
    is_new = target.approval is not None and target.approval != before.approval
    # An approval is for what was held when it was given; much more than that is held anew.
    is_covered = len(gone) <= before.documents + max(1, target.max_delete_fraction * known)
    if is_new and is_covered:
        return None
    return Held(listing, len(gone), known, target.approval if is_new else before.approval)


def _delete(target: Target, gone: Sequence[str], spool: Spool) -> None:
    if gone and target.cold:
        target.store.load()  # to find the chunks of a document is a query, which no server answers from a released collection
    for start in range(0, len(gone), _BATCH):
        batch = gone[start : start + _BATCH]
        delete_documents(target, batch, spool.ledger_of(target.name, batch), spool)


def _row_name(source: str) -> str:
    return f"{names.META_PREFIX}held/{source}"


def _row(source: str, held: Held, now: float) -> LedgerRow:
    reason = orjson.dumps({"listing": held.listing, "documents": held.documents, "of": held.of, "approval": held.approval}).decode()
    return LedgerRow(_row_name(source), "", names.STATE_META, reason=reason, updated=int(now))


def _recorded(target: Target, source: str) -> Held | None:
    row = target.store.ledger_of([_row_name(source)]).get(_row_name(source))
    return Held(**orjson.loads(row.reason)) if row else None
