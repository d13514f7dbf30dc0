"""Looking at a whole index: chunks that no document knows, keys that are there twice, documents whose chunks are not all there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from rag_indexer.indexing.target import Target
from rag_runtime.contracts import collections as names
from rag_runtime.contracts.collections import chunks_digest
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.scan import reread


@dataclass
class Findings:
    """What is wrong with an index; nothing, when all are empty."""

    chunks: int = 0
    documents: int = 0
    orphans: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether chunks and ledger agree."""
        return not (self.orphans or self.twice or self.incomplete)


def inspect(store: IndexStore) -> Findings:
    """Read every key and the whole ledger, and compare. Blocks; raises `IncompleteReadError`."""
    return reread(partial(_inspected, store))


def _inspected(store: IndexStore) -> Findings:
    findings = Findings()
    keys: dict[str, list[str]] = {}
    seen: set[bytes] = set()
    for page in store.scan_keys():
        for key, document in page:
            findings.chunks += 1
            if (short := bytes.fromhex(key)) in seen:
                findings.twice.append(key)
            seen.add(short)
            keys.setdefault(document, []).append(key)
    for rows in store.scan_ledger():
        for row in rows:
            findings.documents += 1
            found = keys.pop(row.document, [])
            if row.state in names.SETTLED and chunks_digest(set(found)) != (row.chunks_digest or chunks_digest(())):
                findings.incomplete.append(row.document)
    findings.orphans = [key for found in keys.values() for key in found]
    return findings


def sweep(target: Target) -> Findings:
    """Remove orphans: they are left when a ledger row was lost and its document went away. Other findings are left to the next pass."""
    findings = inspect(target.store)
    if findings.orphans:
        target.store.delete_chunks(findings.orphans)
        target.counts.removed += len(findings.orphans)
    _ask_for_repair(target.store, findings)
    return findings


def _ask_for_repair(store: IndexStore, findings: Findings) -> None:
    """Documents that the ledger calls done would be no change to the next pass. Of a key that is there twice both rows go."""
    documents = {*findings.incomplete, *(chunk.document for chunk in store.chunks_by_key(findings.twice))}
    rows = store.ledger_of(sorted(documents)).values()
    store.put_ledger([replace(row, state=names.STATE_WRITING) for row in rows])
    store.delete_chunks(findings.twice)


def digest(store: IndexStore) -> str:
    """A digest of every key: equal for two indexes that hold the same chunks."""
    whole = sha256()
    for key in sorted(key for page in store.scan_keys() for key, _ in page):
        whole.update(key.encode())
    return whole.hexdigest()
