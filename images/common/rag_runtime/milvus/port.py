"""The port: what the indexer asks of a vector store for one index. `store.MilvusIndex` is its implementation.

Reads see every write that was acknowledged before them. Writes are acknowledged, not yet durable: `flush` makes them so, and lost
ones are found by reading again. A failed insert may or may not have been applied; whoever repeats it looks first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag_runtime.milvus.rows import Chunk, LedgerRow
from rag_runtime.milvus.schema import Owner, Shape


@dataclass(frozen=True)
class Facts:
    """What the server says about an index."""

    shards: int
    dimensions: int
    index_type: str
    metric: str
    loaded: bool
    pending_rows: int
    properties: Mapping[str, str]


class IndexStore(Protocol):
    """One index: its chunks and its ledger. All calls block; several threads may call at once."""

    name: str

    def create(self, shape: Shape, owner: Owner) -> None:
        """Make both collections with their indexes, or find them there and ours; load them. Raises `NotOursError`."""

    def exists(self) -> bool:
        """Whether the collection of chunks is there."""

    def load(self, replicas: int = 1) -> list[str]:
        """Make both collections searchable; returns when they are. Says what the server refuses to change while they are."""

    def release(self) -> None:
        """Take the chunks out of memory: they cannot be read until `load`. The ledger, which is small, stays readable."""

    def facts(self) -> Facts:
        """What is really there."""

    def insert_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Add chunks whose keys are not there yet."""

    def rewrite_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Replace chunks whose keys are there. Readers may miss them for a moment, so never without need."""

    def delete_chunks(self, keys: Sequence[str]) -> None:
        """Remove chunks by key."""

    def put_ledger(self, rows: Sequence[LedgerRow]) -> None:
        """Write ledger rows over what is there."""

    def delete_ledger(self, documents: Sequence[str]) -> None:
        """Remove ledger rows."""

    def flush(self) -> None:
        """Make all acknowledged writes durable. Seconds; one caller at a time."""

    def present(self, keys: Sequence[str]) -> set[str]:
        """Which of the keys are there."""

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of the documents, without vectors."""

    def keys_of(self, documents: Sequence[str]) -> list[str]:
        """The keys of all chunks of the documents: far less to read than the chunks."""

    def chunks_by_key(self, keys: Sequence[str]) -> list[Chunk]:
        """The chunks with these keys, without vectors."""

    def with_vectors(self, keys: Sequence[str]) -> list[Chunk]:
        """The chunks with these keys, with vectors."""

    def ledger_of(self, documents: Sequence[str]) -> dict[str, LedgerRow]:
        """The ledger rows of the documents, where there are any; meta rows too."""

    def scan_chunks(self, *, vectors: bool = False) -> Iterator[list[Chunk]]:
        """Every chunk, in pages. Raises `IncompleteReadError`."""

    def scan_keys(self) -> Iterator[list[tuple[str, str]]]:
        """(key, document) of every chunk, in pages. Raises `IncompleteReadError`."""

    def scan_ledger(self, low: int = 0, high: int = 1_024) -> Iterator[list[LedgerRow]]:
        """Every document of the buckets `low` to `high` - 1, in pages. Raises `IncompleteReadError`."""

    def count_chunks(self) -> int:
        """How many chunks there are."""

    def drop(self, owner: Owner) -> bool:
        """Remove both collections, if they are `owner`'s; False when there were none. Raises `NotOursError`."""
