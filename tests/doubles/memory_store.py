"""An index in memory, for tests that need no Milvus: `on_call` sees every call before it is done, and may raise, wait or lose rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rag_runtime.contracts import collections as names
from rag_runtime.milvus.errors import UnavailableError
from rag_runtime.milvus.port import Facts
from rag_runtime.milvus.rows import Chunk, LedgerRow
from rag_runtime.milvus.schema import Owner, Shape


class MemoryStore:
    """An `IndexStore`. `on_call` gets the method's name and its first argument."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.chunks: dict[str, Chunk] = {}
        self.ledger: dict[str, LedgerRow] = {}
        self.on_call: Callable[[str, Any], None] = lambda method, argument: None
        self.refused: list[str] = []
        self.loaded = True
        self._lock = threading.RLock()

    def create(self, shape: Shape, owner: Owner) -> None:
        """Nothing to make."""

    def exists(self) -> bool:
        """Always."""
        return True

    def load(self, replicas: int = 1) -> list[str]:
        """Always loaded."""
        self.on_call("load", replicas)
        self.loaded = True
        return self.refused

    def release(self) -> None:
        """As a server does: what is not loaded cannot be read."""
        self.on_call("release", None)
        self.loaded = False

    def facts(self) -> Facts:
        """A small server."""
        return Facts(1, 8, "FLAT", "COSINE", loaded=self.loaded, pending_rows=0, properties={})

    def _readable(self) -> None:
        if not self.loaded:
            raise UnavailableError("collection not loaded")

    def insert_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Keep them."""
        self.on_call("insert_chunks", chunks)
        self._keep(chunks)

    def rewrite_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Keep them instead of what was there."""
        self.on_call("rewrite_chunks", chunks)
        self._keep(chunks)

    def _keep(self, chunks: Sequence[Chunk]) -> None:
        with self._lock:
            self.chunks |= {chunk.key: chunk for chunk in chunks}

    def delete_chunks(self, keys: Sequence[str]) -> None:
        """By key."""
        self.on_call("delete_chunks", keys)
        with self._lock:
            for key in keys:
                self.chunks.pop(key, None)

    def put_ledger(self, rows: Sequence[LedgerRow]) -> None:
        """Over what is there."""
        self.on_call("put_ledger", rows)
        with self._lock:
            self.ledger |= {row.document: row for row in rows}

    def delete_ledger(self, documents: Sequence[str]) -> None:
        """By document."""
        self.on_call("delete_ledger", documents)
        with self._lock:
            for document in documents:
                self.ledger.pop(document, None)

    def flush(self) -> None:
        """Nothing is durable here."""
        self.on_call("flush", None)

    def present(self, keys: Sequence[str]) -> set[str]:
        """Of these keys."""
        self._readable()
        return {key for key in keys if key in self.chunks}

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """Of these documents."""
        self._readable()
        with self._lock:
            return [chunk for chunk in self.chunks.values() if chunk.document in documents]

    def keys_of(self, documents: Sequence[str]) -> list[str]:
        """The keys of all their chunks."""
        return [chunk.key for chunk in self.chunks_of(documents)]

    def chunks_by_key(self, keys: Sequence[str]) -> list[Chunk]:
        """With these keys."""
        self._readable()
        return [self.chunks[key] for key in keys if key in self.chunks]

    def with_vectors(self, keys: Sequence[str]) -> list[Chunk]:
        """With these keys."""
        return self.chunks_by_key(keys)

    def ledger_of(self, documents: Sequence[str]) -> dict[str, LedgerRow]:
        """Meta rows too."""
        return {document: self.ledger[document] for document in documents if document in self.ledger}

    def scan_chunks(self, *, vectors: bool = False) -> Iterator[list[Chunk]]:
        """One page."""
        self._readable()
        yield list(self.chunks.values())

    def scan_keys(self) -> Iterator[list[tuple[str, str]]]:
        """One page."""
        self._readable()
        yield [(chunk.key, chunk.document) for chunk in self.chunks.values()]

    def scan_ledger(self, low: int = 0, high: int = names.BUCKETS) -> Iterator[list[LedgerRow]]:
        """A page a row: a scan can end half-way."""
        for row in list(self.ledger.values()):
            if not row.document.startswith(names.META_PREFIX) and low <= names.bucket(row.document) < high:
                self.on_call("scan_ledger", row.document)
                yield [row]

    def count_chunks(self) -> int:
        """All."""
        self._readable()
        return len(self.chunks)

    def drop(self, owner: Owner) -> bool:
        """Forget everything."""
        with self._lock:
            self.chunks.clear()
            self.ledger.clear()
        return True
