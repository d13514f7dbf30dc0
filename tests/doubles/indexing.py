"""Indexing in-process: a corpus in a directory, an index in a Milvus, passes that can be killed at any write, and what is left then."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient

from doubles.embedder import EmbedderDouble, vector_of
from rag_indexer.chunking.chunks import Chunker
from rag_indexer.chunking.tokens import BoundedTokens
from rag_indexer.indexing.embedding import Embedder
from rag_indexer.indexing.passing import Outcome, SourcePass, load_ledger
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_indexer.parsing.documents import parse
from rag_indexer.sources.directory import DirectorySource
from rag_indexer.sources.port import Source
from rag_runtime.contracts.index import ChunkingSpec, MetadataSpec
from rag_runtime.embeddings import EmbeddingsClient
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.rows import Chunk
from rag_runtime.milvus.schema import Owner, Shape
from rag_runtime.milvus.store import MilvusIndex
from rag_runtime.retry import RetryBudget

DIMENSIONS = 8
OWNER = Owner("cluster", "search", "index")
SHAPE = Shape(dimensions=DIMENSIONS, kind="flat")
CHUNKING = ChunkingSpec(max_tokens=24, overlap_tokens=4)
SOURCE = "docs"
_WRITES = ("insert_chunks", "rewrite_chunks", "delete_chunks", "put_ledger", "delete_ledger", "flush")
_numbers = itertools.count()


class KilledError(BaseException):
    """The process was killed: nothing of it runs on, so nothing may catch this."""


class Killer:
    """An `IndexStore` that dies at its n-th write, before it or right after it reached the store, and does nothing any more."""

    def __init__(self, store: IndexStore, at: int = 0, *, after: bool = False) -> None:
        self._store = store
        self._at = at
        self._after = after
        self._lock = threading.Lock()
        self.dead = False
        self.writes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            self._live()
            if name not in _WRITES:
                return method(*arguments, **options)
            with self._lock:
                self._live()
                self.writes.append(name)
                is_last = len(self.writes) == self._at
                self.dead = is_last
                if is_last and not self._after:
                    raise KilledError
                result = method(*arguments, **options)
                if is_last:
                    raise KilledError
                return result

        return call

    def _live(self) -> None:
        if self.dead:
            raise KilledError


@dataclass
class Corpus:
    """Documents in a directory: path -> text."""

    root: Path
    documents: dict[str, str] = field(default_factory=dict)
    _stamp: Iterator[int] = field(default_factory=lambda: itertools.count(1_700_000_000))

    def become(self, documents: dict[str, str]) -> None:
        """Make the directory hold exactly these; what is unchanged is not touched, what changed gets a new modification time."""
        self.root.mkdir(parents=True, exist_ok=True)
        for path in self.documents.keys() - documents.keys():
            (self.root / path).unlink()
        for path, text in documents.items():
            if self.documents.get(path) != text:
                # Whole or not at all: somebody may be listing.
                draft = self.root.with_name(f"{self.root.name}.draft")
                draft.write_text(text)
                os.utime(draft, (stamp := next(self._stamp), stamp))
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                draft.replace(self.root / path)
        self.documents = dict(documents)


def text_of(name: str, paragraphs: int, edition: int = 1) -> str:
    """Some paragraphs; another edition changes the middle one alone, so that a changed document keeps some of its chunks."""
    lines = []
    for number in range(paragraphs):
        words = f"changed in edition {edition}" if edition > 1 and number == paragraphs // 2 else "as it always was"
        lines.append(f"Paragraph {number} of {name} tells at some length about its own subject, {words}, and then it ends.")
    return "\n\n".join(lines)


@dataclass
class Rig:
    """An index in a Milvus and an embedder; passes over a corpus."""

    client: MilvusClient
    double: EmbedderDouble
    work: Path
    name: str = field(default_factory=lambda: f"indexing_{next(_numbers)}")
    metadata: tuple[MetadataSpec, ...] = ()
    max_delete_fraction: float = 0.5
    approval: str | None = None

    def __post_init__(self) -> None:
        self.store = MilvusIndex(self.client, self.name)
        self.store.create(SHAPE, OWNER)

    def source(self, corpus: Corpus) -> Source:
        """The corpus as a source."""
        return DirectorySource(SOURCE, corpus.root, max_bytes=1_000_000)

    def target(self, store: IndexStore | None = None) -> Target:
        """The index as a fresh process sees it."""
        embedder = Embedder(EmbeddingsClient(self.double.url, self.double.model, dimensions=DIMENSIONS, budget=RetryBudget(reserve=2)))
        return Target(
            self.name,
            store or self.store,
            embedder,
            Chunker(BoundedTokens(), CHUNKING),
            "content",
            metadata=self.metadata,
            max_delete_fraction=self.max_delete_fraction,
            approval=self.approval,
        )

    async def run(self, source: Source, store: IndexStore | None = None, select: Callable[[str], bool] = lambda _: True) -> Outcome:
        """One pass by a fresh process: nothing is remembered but what the index holds."""
        target = self.target(store)
        spool = Spool(self.work / f"{self.name}.spool")
        try:
            await load_ledger(target, spool)
            return (await SourcePass(source, select, [target], spool).run())[self.name]
        finally:
            await target.embedder.client.close()
            spool.close()

    def drop(self) -> None:
        """Remove the index."""
        self.store.drop(OWNER)


def expected_chunks(documents: dict[str, str]) -> dict[str, Chunk]:
    """What an index of these documents must hold, worked out without any index: the reference."""
    chunker = Chunker(BoundedTokens(), CHUNKING)
    chunks = {}
    for path, text in documents.items():
        document = f"{SOURCE}/{path}"
        parsed = parse(path, text.encode())
        for passage in chunker.passages(document, parsed):
            chunks[passage.key] = Chunk(
                passage.key,
                document,
                passage.text,
                passage.ordinal,
                passage.start,
                passage.end,
                parsed.title,
                vector=vector_of(passage.embedded, DIMENSIONS, f"print-{DIMENSIONS}"),
            )
    return chunks


def differences(store: IndexStore, documents: dict[str, str]) -> list[str]:
    """How the index differs from the reference, in words; empty when it does not."""
    wanted = expected_chunks(documents)
    rows = [chunk for page in store.scan_chunks(vectors=True) for chunk in page]
    found = {chunk.key: chunk for chunk in rows}
    problems = [f"key twice: {len(rows) - len(found)}"] if len(rows) != len(found) else []
    problems += [f"missing: {wanted[key].document}#{wanted[key].ordinal}" for key in wanted.keys() - found.keys()]
    problems += [f"orphan: {found[key].document}#{found[key].ordinal}" for key in found.keys() - wanted.keys()]
    problems += [
        f"wrong row: {wanted[key].document}#{wanted[key].ordinal}"
        for key in wanted.keys() & found.keys()
        if not _same(wanted[key], found[key])
    ]
    states = {row.document: row.state for page in store.scan_ledger() for row in page}
    settled = {f"{SOURCE}/{path}" for path in documents}
    problems += [
        f"ledger: {document} is {state}" for document, state in states.items() if document not in settled or state not in ("done", "empty")
    ]
    return problems + [f"ledger lacks {document}" for document in settled - states.keys()]


def _same(wanted: Chunk, found: Chunk) -> bool:
    if (wanted.text, wanted.ordinal, wanted.span_start, wanted.span_end) != (found.text, found.ordinal, found.span_start, found.span_end):
        return False
    return wanted.vector is not None and found.vector is not None and float(np.dot(wanted.vector, found.vector)) >= 0.9999


class Watcher:
    """A reader that looks all the time: chunks that nobody changes are there, and documents that change have a chunk, old or new."""

    def __init__(self, store: IndexStore, keys: Sequence[str], documents: Sequence[str] = ()) -> None:
        self._store = store
        self._keys = list(keys)
        self._documents = list(documents)
        self._over = threading.Event()
        self.looks = 0
        self.missed: list[str] = []
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.is_set():
            present = self._store.present(self._keys)
            self.missed += [key for key in self._keys if key not in present]
            having = {chunk.document for chunk in self._store.chunks_of(self._documents)}
            self.missed += [document for document in self._documents if document not in having]
            self.looks += 1

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
