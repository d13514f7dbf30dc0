"""A Milvus that dies or freezes under the indexer: bounded answers, and the next pass makes it good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cluster.milvus import MilvusServer
from doubles.embedder import EmbedderDouble
from doubles.indexing import OWNER, Corpus, Rig, differences, text_of
from rag_runtime.milvus import store as milvus_store
from rag_runtime.milvus.connection import Target, connect
from rag_runtime.milvus.errors import UnavailableError
from rag_runtime.milvus.store import MilvusIndex

DOCUMENTS = {f"{number:02d}.txt": text_of(f"document {number}", 2) for number in range(20)}
BOUND = 40.0


@pytest.mark.timeout(900)
async def test_a_store_that_dies_or_freezes_is_reported_in_time_and_the_next_pass_repairs(
    double: EmbedderDouble, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_store, "CALL_SECONDS", 10.0)
    with MilvusServer() as server:
        client = connect(Target(server.uri.removeprefix("http://")))
        rig = Rig(client, double, tmp_path, name="outages")
        rig.store = MilvusIndex(client, "outages", patience=5)
        corpus.become(DOCUMENTS)
        await rig.run(rig.source(corpus))
        corpus.become({**DOCUMENTS, "new.txt": text_of("new", 2)})

        server.pause()
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(rig.run(rig.source(corpus)), BOUND)
        server.resume()

        server.kill()
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(rig.run(rig.source(corpus)), BOUND)
        server.start()

        rig.store = MilvusIndex(client, "outages", patience=120)
        await rig.run(rig.source(corpus))
        assert differences(rig.store, corpus.documents) == []
        rig.store.drop(OWNER)
        client.close()
