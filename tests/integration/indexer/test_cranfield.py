"""Real text, the real model, the real Milvus: what changes is embedded, nothing else is, and the index equals one made from scratch.

CI takes the first 300 documents; a campaign takes all 1,400.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from pymilvus import MilvusClient

import cranfield
from doubles.indexing import OWNER, SOURCE, Corpus
from integration.embedder.process import running_embedder
from rag_indexer.chunking.chunks import Chunker
from rag_indexer.chunking.tokens import ModelTokens
from rag_indexer.indexing.embedding import Embedder
from rag_indexer.indexing.passing import Outcome, SourcePass, load_ledger
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_indexer.sources.directory import DirectorySource
from rag_runtime.contracts.index import ChunkingSpec
from rag_runtime.embeddings import EmbeddingsClient
from rag_runtime.milvus.rows import Chunk
from rag_runtime.milvus.schema import Shape
from rag_runtime.milvus.store import MilvusIndex

DIMENSIONS = 384
COUNT = None if os.environ.get("RAG_CAMPAIGN") else 300
SHAPE = Shape(DIMENSIONS, shards=2, parameters={"M": 16, "efConstruction": 200})


@dataclass
class Indexing:
    """Passes over a corpus with the real model."""

    embedder: Embedder
    chunker: Chunker
    client: MilvusClient
    work: Path
    made: list[MilvusIndex] = field(default_factory=list)

    def index(self, name: str) -> MilvusIndex:
        """A new index."""
        store = MilvusIndex(self.client, name)
        store.create(SHAPE, OWNER)
        self.made.append(store)
        return store

    async def run(self, store: MilvusIndex, corpus: Corpus) -> tuple[Outcome, int]:
        """One pass; the outcome, and how many texts were embedded."""
        before = self.embedder.embedded
        target = Target(store.name, store, self.embedder, self.chunker, "content")
        spool = Spool(self.work / f"{store.name}.spool")
        try:
            await load_ledger(target, spool)
            source = DirectorySource(SOURCE, corpus.root, max_bytes=1_000_000)
            outcome = (await SourcePass(source, lambda _: True, [target], spool).run())[store.name]
        finally:
            spool.close()
        return outcome, self.embedder.embedded - before


@pytest_asyncio.fixture
async def indexing(real_client: MilvusClient, tmp_path: Path) -> AsyncIterator[Indexing]:
    async with running_embedder("minilm") as process:
        client = EmbeddingsClient(process.url, "minilm", dimensions=DIMENSIONS)
        tokenizer = await client.tokenizer()
        assert tokenizer is not None
        chunker = Chunker(ModelTokens(tokenizer), ChunkingSpec(), limit=(await client.describe()).max_tokens)
        chunker.check()
        made = Indexing(Embedder(client), chunker, real_client, tmp_path)
        yield made
        for store in made.made:
            store.drop(OWNER)
        await client.close()


def chunks_in(store: MilvusIndex) -> dict[str, Chunk]:
    rows = [chunk for page in store.scan_chunks(vectors=True) for chunk in page]
    assert len({chunk.key for chunk in rows}) == len(rows), "a key is there twice"
    return {chunk.key: chunk for chunk in rows}


@pytest.mark.timeout(1_200)
async def test_only_what_changes_is_embedded_and_the_index_equals_a_new_one(indexing: Indexing, corpus: Corpus) -> None:
    whole = cranfield.texts(COUNT)
    kept = len(whole) - 14
    first = dict(list(whole.items())[:kept])
    corpus.become(first)
    store = indexing.index("cranfield_synced")
    outcome, embedded = await indexing.run(store, corpus)
    assert outcome.applied
    before = chunks_in(store)
    assert embedded <= len(before)  # equal texts are embedded once
    assert embedded >= 0.95 * len(before)

    assert (await indexing.run(store, corpus))[1] == 0, "a second sync embeds nothing"

    paths = [path for path, text in first.items() if text]
    changed = {path: f"{first[path]} It was revised in the light of later measurements." for path in paths[:14]}
    added = dict(list(whole.items())[kept:])
    after = {path: changed.get(path, text) for path, text in first.items() if path not in paths[14:28]} | added
    corpus.become(after)
    outcome, embedded = await indexing.run(store, corpus)
    assert outcome.applied
    synced = chunks_in(store)
    new = synced.keys() - before.keys()
    assert {synced[key].document for key in new} <= {f"{SOURCE}/{path}" for path in (*changed, *added)}
    assert embedded == len({synced[key].text for key in new}), "exactly the changed and the new chunks are embedded"
    assert not {chunk.document for chunk in synced.values()} & {f"{SOURCE}/{path}" for path in paths[14:28]}, "the deleted are gone"

    scratch = indexing.index("cranfield_scratch")
    await indexing.run(scratch, corpus)
    made = chunks_in(scratch)
    assert made.keys() == synced.keys()
    for key, chunk in made.items():
        assert chunk.vector is not None
        assert synced[key].vector is not None
        assert float(np.dot(chunk.vector, synced[key].vector)) >= 0.9999, chunk.document  # type: ignore[arg-type]
        assert chunk.attributes == synced[key].attributes


async def test_every_chunk_fits_the_model(indexing: Indexing) -> None:
    from rag_indexer.parsing.documents import parse

    texts = [
        passage.embedded
        for path, text in cranfield.texts(200).items()
        for passage in indexing.chunker.passages(f"{SOURCE}/{path}", parse(path, text.encode()))
    ]
    assert max(indexing.chunker.tokens.count(texts)) <= 256
