"""What an index needs for some documents: which chunks to insert, to rewrite, to delete. Reads the index, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rag_indexer.chunking.chunks import Passage
from rag_indexer.errors import DocumentError
from rag_indexer.indexing.reading import Document
from rag_indexer.indexing.target import Target
from rag_indexer.parsing.metadata import metadata_of
from rag_runtime.contracts import collections as names
from rag_runtime.contracts.collections import chunks_digest
from rag_runtime.milvus.rows import Chunk, LedgerRow
from rag_runtime.milvus.schema import MAX_REASON_BYTES, MAX_TITLE_BYTES, MAX_URI_BYTES, clipped

# What the API shows of a reason; no need to keep more.
_REASON_BYTES = min(1_000, MAX_REASON_BYTES)


@dataclass
class Plan:
    """What one document takes in one index. `after` is its ledger row when all is done; `texts` are what the inserted keys embed."""

    after: LedgerRow
    insert: list[Chunk] = field(default_factory=list)
    rewrite: list[Chunk] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def touches_chunks(self) -> bool:
        """Whether anything but the ledger changes."""
        return bool(self.insert or self.rewrite or self.delete)


def failed(target: Target, document: Document, before: LedgerRow | None, now: float) -> Plan:
    """A document that cannot be indexed keeps the chunks it had: an old answer is better than none, and the ledger says it is old."""
    same = before is not None and before.state == names.STATE_FAILED and before.version == document.entry.version
    base = before or LedgerRow(document.id, "", names.STATE_FAILED)
    return Plan(
        replace(
            base,
            version=document.entry.version,
            state=names.STATE_FAILED,
            reason=clipped(document.reason, _REASON_BYTES),
            attempts=base.attempts + 1 if same else 1,
            updated=int(now),
            recipe=target.recipe,
        )
    )


def is_only_renewed(target: Target, document: Document, before: LedgerRow | None) -> bool:
    """Whether the listed version moved and the bytes did not: then the chunks are what they were."""
    if before is None or not before.settled:
        return False
    return before.content_hash == document.content_hash and before.recipe == target.recipe


def plans(
    target: Target,
    documents: Sequence[Document],
    passages: Mapping[str, Sequence[Passage]],
    ledger: Mapping[str, LedgerRow],
    now: float,
) -> list[Plan]:
    """Compare what the documents produce with what the index holds. A document whose rows cannot be written fails alone."""
    # A ledger row is written before a document's first chunk. Without one only keys that this document produces are looked for, by
    # key: cheap, and it finds the chunks of a row that was lost.
    known = [document.id for document in documents if document.id in ledger]
    wanted = [passage.key for document in documents if document.id not in ledger for passage in passages[document.id]]
    existing: dict[str, dict[str, Chunk]] = {document.id: {} for document in documents}
    for chunk in [*target.store.chunks_of(known), *target.store.chunks_by_key(wanted)]:
        existing[chunk.document][chunk.key] = chunk
    made = []
    for document in documents:
        try:
            made.append(_plan(target, document, passages[document.id], existing[document.id], now))
        except DocumentError as error:
            made.append(failed(target, replace(document, reason=str(error)), ledger.get(document.id), now))
    return made


def _plan(target: Target, document: Document, passages: Sequence[Passage], existing: Mapping[str, Chunk], now: float) -> Plan:
    produced = [_chunk(target, document, passage) for passage in passages]
    keys = {chunk.key for chunk in produced}
    plan = Plan(_settled(target, document, keys, now))
    for chunk, passage in zip(produced, passages, strict=True):
        there = existing.get(chunk.key)
        if there is None:
            plan.insert.append(chunk)
            plan.texts[chunk.key] = passage.embedded
        elif there.attributes != chunk.attributes:
            plan.rewrite.append(chunk)
    plan.delete = [key for key in existing if key not in keys]
    return plan


def _settled(target: Target, document: Document, keys: set[str], now: float) -> LedgerRow:
    return LedgerRow(
        document=document.id,
        version=document.entry.version,
        state=names.STATE_DONE if keys else names.STATE_EMPTY,
        content_hash=document.content_hash,
        chunks_digest=chunks_digest(keys),
        chunk_count=len(keys),
        updated=int(now),
        recipe=target.recipe,
    )


def _chunk(target: Target, document: Document, passage: Passage) -> Chunk:
    parsed = document.parsed
    if parsed is None:
        raise ValueError(f"{document.id} was not parsed")
    return Chunk(
        key=passage.key,
        document=document.id,
        text=passage.text,
        ordinal=passage.ordinal,
        span_start=passage.start,
        span_end=passage.end,
        title=clipped(parsed.title, MAX_TITLE_BYTES),
        uri=clipped(parsed.uri or document.entry.uri, MAX_URI_BYTES),
        metadata=metadata_of(document.entry.path, parsed, target.metadata),
    )


def renewed(before: LedgerRow, document: Document, now: float) -> LedgerRow:
    """The ledger row of a document whose version moved and whose bytes did not."""
    return replace(before, version=document.entry.version, updated=int(now))
