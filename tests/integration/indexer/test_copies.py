"""Copies of an index to another layout, or to fewer dimensions: nothing is embedded, and nothing is taken from other weights."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from doubles.embedder import EmbedderDouble, vector_of
from doubles.indexing import Corpus, differences, text_of
from doubles.ragindex import manifest, with_layout
from integration.indexer.alone import DOCUMENTS, Alone, in_milvus
from rag_indexer.errors import IndexerError
from rag_indexer.work import copying
from rag_indexer.work.copying import CopyRun
from rag_indexer.work.sweeping import digest
from rag_runtime.milvus import store as stores
from rag_runtime.milvus.errors import IncompleteReadError
from rag_runtime.milvus.rows import Chunk, LedgerRow
from rag_runtime.milvus.store import MilvusIndex


async def test_a_copy_to_another_layout_embeds_nothing(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    double.texts.clear()
    origin = {"index": index["metadata"]["name"], "collection": index["spec"]["collection"], "dimensions": 8}
    layout = {"shards": 1, "index": {"ivfFlat": {"nlist": 4}, "metric": "L2"}}
    copied = with_layout(manifest(lite_address, double.url, work={"mode": "Copy", "from": origin}), layout)
    code, summary = await alone.run("copy", copied)
    assert (code, summary["documents"], summary["embedded"], double.texts) == (0, len(DOCUMENTS), 0, [])
    assert differences(in_milvus(lite_client, copied), DOCUMENTS) == []
    assert digest(in_milvus(lite_client, copied)) == digest(in_milvus(lite_client, index))
    status = alone.status(copied)
    assert status["observed"]["indexType"] == "IVF_FLAT"
    assert status["observed"]["modelFingerprint"] == double.fingerprint
    assert status["completed"]["mode"] == "Copy"


async def test_a_copy_to_fewer_dimensions_cuts_and_normalises(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    origin = {"index": "x", "collection": index["spec"]["collection"], "dimensions": 8}
    layout = {"shards": 1, "index": {"flat": {}, "metric": "COSINE"}}
    short = with_layout(manifest(lite_address, double.url, work={"mode": "Copy", "from": origin}), layout, 4)
    async with TruncatingDouble(4) as shorter:
        short["spec"]["embedder"]["url"] = shorter.url
        code, _ = await alone.run("truncate", short)
    assert code == 0
    status = alone.status(short)
    assert status["observed"]["modelFingerprint"] == shorter.fingerprint, "the gateway will ask the new embedder, which names itself"
    whole = {chunk.key: chunk.vector for page in in_milvus(lite_client, index).scan_chunks(vectors=True) for chunk in page}
    cut = {chunk.key: chunk.vector for page in in_milvus(lite_client, short).scan_chunks(vectors=True) for chunk in page}
    assert whole.keys() == cut.keys()
    for key, vector in cut.items():
        assert vector is not None
        assert whole[key] is not None
        wanted = whole[key][:4] / np.linalg.norm(whole[key][:4])  # type: ignore[index]
        assert np.allclose(vector, wanted, atol=1e-5)


class TruncatingDouble(EmbedderDouble):
    """The double of eight dimensions, cut: the same weights, another fingerprint."""

    def _encoded(self, text: str) -> str:
        cut = vector_of(text, 8, "print-8")[: self.dimensions]
        return base64.b64encode((cut / np.linalg.norm(cut)).astype(np.float32).tobytes()).decode()


async def test_a_copy_to_fewer_dimensions_of_other_weights_is_refused(
    alone: Alone, index: dict[str, Any], double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    origin = {"index": "x", "collection": index["spec"]["collection"], "dimensions": 8}
    layout = {"shards": 1, "index": {"flat": {}, "metric": "COSINE"}}
    async with EmbedderDouble(4) as other:
        short = with_layout(manifest(lite_address, other.url, work={"mode": "Copy", "from": origin}), layout, 4)
        code, summary = await alone.run("copy", short)
    assert code == 2
    assert "its weights are others" in summary["error"]
    assert "completed" not in alone.status(short)


async def test_a_copy_leaves_documents_that_are_being_written_to_the_syncer(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, double: EmbedderDouble, lite_address: str
) -> None:
    await alone.run("build", index)
    store = in_milvus(lite_client, index)
    store.put_ledger([LedgerRow("docs/02.txt", "v", "writing")])
    store.delete_chunks([store.chunks_of(["docs/05.txt"])[0].key])
    origin = {"index": "x", "collection": index["spec"]["collection"], "dimensions": 8}
    copied = manifest(lite_address, double.url, work={"mode": "Copy", "from": origin})
    code, summary = await alone.run("copy", copied)
    assert (code, summary["documents"]) == (0, len(DOCUMENTS) - 2)
    assert in_milvus(lite_client, copied).chunks_of(["docs/02.txt", "docs/05.txt"]) == []


@pytest.mark.parametrize("dies_in", ["_ledger", "_finish"])
async def test_a_copy_that_died_goes_on_when_the_origin_has_changed_since(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, corpus: Corpus, dies_in: str
) -> None:
    async def die(*_: object) -> None:
        raise IndexerError("died")

    await alone.run("build", index)
    spec = index["spec"]
    origin = {"index": "x", "collection": spec["collection"], "dimensions": 8}
    copied = manifest(spec["milvus"]["address"], spec["embedder"]["url"], work={"mode": "Copy", "from": origin})
    with pytest.MonkeyPatch.context() as first:
        first.setattr(CopyRun, dies_in, die)
        assert (await alone.run("copy", copied))[0] == 1
    documents = {**DOCUMENTS, "02.txt": text_of("document 2", 3, edition=2)}
    del documents["04.txt"]
    corpus.become(documents)
    assert (await alone.run("build", index))[0] == 0
    code, summary = await alone.run("copy", copied)
    assert (code, summary.get("documents")) == (0, len(documents)), summary
    assert differences(in_milvus(lite_client, copied), documents) == []


async def test_vectors_are_not_copied_to_more_dimensions(alone: Alone, lite_address: str, double: EmbedderDouble) -> None:
    origin = {"index": "x", "collection": "x", "dimensions": 4}
    code, summary = await alone.run("copy", manifest(lite_address, double.url, work={"mode": "Copy", "from": origin}))
    assert (code, summary["error"]) == (2, "vectors of 4 dimensions cannot be cut to 8")


def copy_of(index: dict[str, Any]) -> dict[str, Any]:
    spec = index["spec"]
    origin = {"index": index["metadata"]["name"], "collection": spec["collection"], "dimensions": 8}
    return manifest(spec["milvus"]["address"], spec["embedder"]["url"], work={"mode": "Copy", "from": origin})


async def test_an_origin_that_changes_while_it_is_read_is_copied_and_the_next_pass_catches_up(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, corpus: Corpus
) -> None:
    await alone.run("build", index)
    # One is new, one has other chunks, one the same chunks elsewhere, one is gone.
    moved = "  \n\n" + DOCUMENTS["03.txt"]
    documents = {**DOCUMENTS, "new.txt": text_of("the new one", 6), "02.txt": text_of("document 2", 3, edition=2), "03.txt": moved}
    del documents["04.txt"]
    unhurried = MilvusIndex.scan_chunks

    def scan_chunks(store: MilvusIndex, *, vectors: bool = False) -> Iterator[list[Chunk]]:
        for number, page in enumerate(unhurried(store, vectors=vectors)):
            if number == 3 and store.name == index["spec"]["collection"]:
                corpus.become(documents)
                assert asyncio.run(alone.run("build", index))[0] == 0
            yield page

    copied = copy_of(index)
    with pytest.MonkeyPatch.context() as meanwhile:
        meanwhile.setattr(stores, "page_rows", lambda _: 8)
        meanwhile.setattr(MilvusIndex, "scan_chunks", scan_chunks)
        code, summary = await alone.run("copy", copied)
    assert (code, summary.get("documents")) == (0, len(DOCUMENTS) - 3), summary
    assert (
        differences(in_milvus(lite_client, copied), {path: DOCUMENTS[path] for path in DOCUMENTS.keys() - {"02.txt", "03.txt", "04.txt"}})
        == []
    )
    assert (await alone.run("build", copied))[0] == 0
    assert differences(in_milvus(lite_client, copied), documents) == []
    fresh = manifest(index["spec"]["milvus"]["address"], index["spec"]["embedder"]["url"])
    await alone.run("build", fresh)
    assert digest(in_milvus(lite_client, copied)) == digest(in_milvus(lite_client, fresh))


async def test_a_row_that_the_ledgers_pages_lack_is_asked_for(
    alone: Alone, index: dict[str, Any], lite_client: MilvusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alone.run("build", index)
    copied = copy_of(index)
    whole = MilvusIndex.scan_ledger

    def scan_ledger(store: MilvusIndex, low: int = 0, high: int = 1_024) -> Iterator[list[LedgerRow]]:
        is_origin = store.name == index["spec"]["collection"]
        for page in whole(store, low, high):
            yield [row for row in page if not (is_origin and row.document == "docs/05.txt")]
        if is_origin:
            raise IncompleteReadError("one row is missing")

    monkeypatch.setattr(MilvusIndex, "scan_ledger", scan_ledger)
    code, summary = await alone.run("copy", copied)
    assert (code, summary.get("documents")) == (0, len(DOCUMENTS)), summary
    assert differences(in_milvus(lite_client, copied), DOCUMENTS) == []


async def test_an_origin_of_which_much_cannot_be_read_is_not_copied(
    alone: Alone, index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan_chunks(store: MilvusIndex, *, vectors: bool = False) -> Iterator[list[Chunk]]:
        raise IncompleteReadError("0 rows found")
        yield []

    await alone.run("build", index)
    monkeypatch.setattr(copying, "_LEFT", 5)
    monkeypatch.setattr(MilvusIndex, "scan_chunks", scan_chunks)
    code, summary = await alone.run("copy", copy_of(index))
    assert (code, summary["error"]) == (1, "15 of 15 documents changed while they were copied, or were not read whole")
