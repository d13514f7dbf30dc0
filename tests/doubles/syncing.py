"""A syncer over a directory of documents and indexes in memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from doubles.embedder import EmbedderDouble
from doubles.indexing import CHUNKING, DIMENSIONS, Corpus, text_of
from doubles.memory_store import MemoryStore
from doubles.ragindex import manifest
from rag_indexer.chunking.chunks import Chunker
from rag_indexer.chunking.tokens import BoundedTokens
from rag_indexer.indexing.embedding import Embedder
from rag_indexer.indexing.target import Target
from rag_indexer.reporting import NoSink
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work.followed import Followed
from rag_indexer.work.following import Syncer
from rag_indexer.work.freshness import SyncReport
from rag_runtime.contracts.index import Index
from rag_runtime.embeddings import EmbeddingsClient

DOCUMENTS = {f"{number}.txt": text_of(f"document {number}", 2) for number in range(4)}
LONG_AGO = 10_000.0


async def at_once(_: float) -> None:
    """Pauses are for people who wait."""


def broken(*_: Any, **__: Any) -> Any:
    """Whatever it is called for."""
    raise TypeError("nobody thought of this")


class World:
    """A syncer, a directory of documents, and indexes that it follows."""

    def __init__(self, tmp_path: Path) -> None:
        self.corpus = Corpus(tmp_path / "docs")
        self.corpus.become(DOCUMENTS)
        around: Any = SimpleNamespace(
            settings=SimpleNamespace(work=tmp_path), around=Surroundings(tmp_path, tmp_path, tmp_path, broken), sink=NoSink()
        )
        self.syncer = Syncer(around)
        self.stores: dict[str, MemoryStore] = {}

    def follow(self, name: str, double: EmbedderDouble, **spec: Any) -> Followed:
        """Take up an index that is empty."""
        index = Index.model_validate(manifest("milvus:19530", double.url, name=name, work={"mode": "Sync"}, **spec))
        client = EmbeddingsClient(double.url, double.model, dimensions=DIMENSIONS, sleep=at_once)
        store = self.stores[name] = MemoryStore(name)
        chunker = Chunker(BoundedTokens(), CHUNKING)
        target = Target(name, store, Embedder(client, sleep=at_once), chunker, double.url, max_delete_fraction=0.5)
        followed = Followed(index, target, None, SyncReport.of(NoSink(), index))  # type: ignore[arg-type]
        followed.probe_at = float("inf")
        self.syncer._followed[name], self.syncer._reports[name] = followed, followed.report
        return followed

    async def run_pass(self, *names: str, source: int = 0) -> None:
        """One pass over a source of the first index."""
        await self.syncer._pass(self.syncer._followed[names[0]].index.spec.sources[source], list(names))

    def error(self, name: str, source: int = 0) -> str:
        """What the index's status says of a source."""
        sources = self.syncer._followed[name].report.reporter._wanted["sync"]["sources"]
        return str(sources[source].get("error", ""))

    async def close(self) -> None:
        """Let go of everything."""
        for followed in self.syncer._followed.values():
            await followed.target.embedder.client.close()
        await self.syncer.close()
