"""The syncer as it is run, and what its metrics port says of a change, a failure and a held deletion."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from doubles.embedder import EmbedderDouble
from doubles.indexing import Corpus, text_of
from doubles.process import Served, serving
from doubles.ragindex import manifest
from rag_indexer import cli
from rag_indexer.settings import Settings

DOCUMENTS = {f"{number:02d}.txt": text_of(f"document {number}", 1) for number in range(12)}
PATIENCE = 60.0
PROBES = 16  # texts that a syncer embeds to know its embedder again

Samples = Mapping[str, float]


async def samples(syncer: Served) -> Samples:
    """Each sample by its name and the labels that tell it from its like."""
    async with aiohttp.ClientSession() as client, client.get(f"{syncer.url('metrics')}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    telling = ("action", "result")
    found = [sample for family in families for sample in family.samples if sample.name.startswith("rag_indexer")]
    return {":".join([sample.name, *(sample.labels[name] for name in telling if name in sample.labels)]): sample.value for sample in found}


async def until(syncer: Served, name: str, value: float) -> Samples:
    """The samples once `name` has this value."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (found := await samples(syncer)).get(name) != value:
        assert asyncio.get_running_loop().time() < deadline, f"{name} stayed {found.get(name)}"
        await asyncio.sleep(0.2)  # between two scrapes
    return found


async def test_a_syncer_tells_what_it_does(lite_address: str, double: EmbedderDouble, corpus: Corpus, tmp_path: Path) -> None:
    corpus.become(DOCUMENTS)
    source = {"name": "docs", "pvc": {"claimName": "docs"}, "syncInterval": "1s"}
    index = manifest(lite_address, double.url, sources=[source], work={"mode": "Sync"})
    file = tmp_path / "index.yaml"
    file.write_text(yaml.safe_dump(index))
    places = {"index_file": file, "sources": corpus.root.parent, "work": tmp_path / "work", "termination_log": tmp_path / "termination"}
    assert await cli._run("build", Settings(**places)) == 0
    environment = {"RAG_INDEX_FILE": str(file), "RAG_SOURCES_DIR": str(corpus.root.parent), "RAG_WORK_DIR": str(tmp_path)}
    began = int(time.time())
    async with serving("rag_indexer", "sync", **environment) as syncer:
        found = await until(syncer, "rag_indexer_documents", len(DOCUMENTS))
        assert found["rag_indexer_index_documents_total:written"] == 0, "what the build wrote is not written again"

        more = {"new.txt": "An entirely new document.", "broken.pdf": "This is no PDF."}
        corpus.become({**DOCUMENTS, "00.txt": text_of("document 0", 1, edition=2), **more})
        found = await until(syncer, "rag_indexer_failed_documents", 1)
        assert found["rag_indexer_documents_read_total"] == 3
        assert found["rag_indexer_index_documents_total:written"] == 2
        assert found["rag_indexer_index_documents_total:failed"] == 1
        assert found["rag_indexer_index_chunks_total:inserted"] == found["rag_indexer_texts_embedded_total"] - PROBES == 2
        assert found["rag_indexer_passes_total:applied"] > 0
        assert found["rag_indexer_pass_seconds_sum"] > 0
        assert found["rag_indexer_last_success_timestamp_seconds"] >= began

        corpus.become({"00.txt": corpus.documents["00.txt"]})
        found = await until(syncer, "rag_indexer_deletions_held", len(DOCUMENTS) + 1)
        assert found["rag_indexer_index_documents_total:deleted"] == 0
        assert found["rag_indexer_passes_total:held"] > 0
