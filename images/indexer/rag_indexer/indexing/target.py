"""One index that is being brought up to date: where it is, how it cuts, what embeds it, and what it counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rag_indexer.chunking.chunks import Chunker
from rag_indexer.indexing.embedding import Embedder
from rag_indexer.parsing.metadata import recipe
from rag_runtime.contracts.collections import BUCKETS
from rag_runtime.contracts.index import MetadataSpec
from rag_runtime.milvus.port import IndexStore


@dataclass
class Counts:
    """What was done since the process started."""

    documents: int = 0
    deleted: int = 0
    failed: int = 0
    inserted: int = 0
    rewritten: int = 0
    removed: int = 0


@dataclass
class Target:
    """One index. `low` to `high` - 1 are the buckets that are ours; `content` is equal for indexes that cut and embed alike."""

    name: str
    store: IndexStore
    embedder: Embedder
    chunker: Chunker
    content: str
    metadata: tuple[MetadataSpec, ...] = ()
    max_delete_fraction: float = 0.1
    approval: str | None = None
    low: int = 0
    high: int = BUCKETS
    counts: Counts = field(default_factory=Counts)
    # Why this embedder must not write into this index (its vectors cannot be compared with those there); empty: it may.
    mismatch: str = ""
    # Why nobody knows whether it may; until that is known nothing is embedded for this index.
    unknown: str = ""
    # Kept out of memory: only deletions are applied, and it is loaded for as long as they take.
    cold: bool = False
    on_progress: Callable[[], None] = lambda: None

    @property
    def recipe(self) -> str:
        """Digest of what decides rows but no vector."""
        return recipe(self.metadata)
