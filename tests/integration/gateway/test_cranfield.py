"""Real documents, real weights, a real index: what users get through the gateway is as good as exact search."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cluster.milvus import MilvusServer
from cluster.models import model_dir
from demo.corpus import Question, documents, questions
from doubles.gateway import GatewayProcess, ask
from doubles.process import serving
from rag_indexer.evaluate.metrics import ndcg, recall
from rag_runtime.contracts.routing import EmbedderRoute, IndexRoute, Route, RoutingTable

pytestmark = pytest.mark.asyncio(loop_scope="session")

DIMENSIONS = 384
COLLECTION = "cranfield_gateway"
ALL_DOCUMENTS = 1_400
# What exact search without chunking reaches is 0.500.
LEAST_NDCG = 0.49


def _index(address: str, embedder: str) -> dict[str, Any]:
    content = {"model": "minilm", "dimensions": DIMENSIONS, "chunking": {"strategy": "Recursive", "maxTokens": 240, "overlapTokens": 32}}
    layout = {"shards": 2, "index": {"hnsw": {"M": 16, "efConstruction": 200}, "metric": "COSINE"}}
    return {
        "apiVersion": "ragops.dev/v1alpha1",
        "kind": "RAGIndex",
        "metadata": {"name": "cranfield", "namespace": "alone"},
        "spec": {
            "pipelineRef": {"name": "cranfield"},
            "identity": {"digest": "d", "contentDigest": "c", "content": content, "layout": layout},
            "collection": COLLECTION,
            "sources": [{"name": "cranfield", "pvc": {"claimName": "documents", "path": ""}}],
            "embedder": {"url": embedder, "model": "minilm", "dimensions": DIMENSIONS},
            "milvus": {"address": address},
            "work": {"mode": "Build"},
        },
    }


async def _build(directory: Path, address: str, embedder: str) -> dict[str, Any]:
    """Index all documents with the indexer as a user runs it without Kubernetes."""
    sources = directory / "sources" / "cranfield"
    sources.mkdir(parents=True)
    for name, text in documents():
        (sources / name).write_text(text)
    manifest, status = directory / "index.json", directory / "status.json"
    manifest.write_text(json.dumps(_index(address, embedder)))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RAG_INDEX_FILE": str(manifest),
        "RAG_STATUS_FILE": str(status),
        "RAG_SOURCES_DIR": str(sources.parent),
        "RAG_WORK_DIR": str(directory),
        "RAG_TERMINATION_LOG": str(directory / "termination"),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "rag_indexer", "build", env=environment)
    assert await process.wait() == 0
    found: dict[str, Any] = json.loads(status.read_text())["cranfield"]
    return found


async def _ask_all(http: aiohttp.ClientSession, url: str, asked: list[Question]) -> dict[str, list[str]]:
    """The documents found for each question, 4 questions at a time."""
    found: dict[str, list[str]] = {}
    door = asyncio.Semaphore(4)

    async def one(question: Question) -> None:
        async with door:
            status, _, body = await ask(http, url + "/v1/retrieve", {"query": question.text, "k": 10, "groupBy": "document"})
        assert status == 200, body
        found[question.id] = [result["document"] for result in body["results"]]

    await asyncio.gather(*(one(question) for question in asked))
    return found


async def test_cranfield_through_the_gateway_is_as_good_as_exact_search(
    milvus_server: MilvusServer, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    address = milvus_server.uri.removeprefix("http://")
    async with serving("rag_embedder", RAG_MODEL=str(model_dir("minilm")), RAG_MODEL_NAME="minilm") as embedder:
        built = await _build(tmp_path, address, embedder.url("api"))
        assert built["build"]["documents"] == ALL_DOCUMENTS
        fingerprint = built["observed"]["modelFingerprint"]
        route = Route(
            revision="minilm",
            weight=100,
            embedder=EmbedderRoute(url=embedder.url("api"), model="minilm", dimensions=DIMENSIONS, fingerprint=fingerprint),
            index=IndexRoute(address=address, collection=COLLECTION, search={"ef": 64}),
        )
        async with GatewayProcess(tmp_path) as gateway:
            gateway.publish(RoutingTable(epoch=1, pipeline="cranfield", routes=(route,)))
            await gateway.serving(1)
            asked = questions()
            found = await _ask_all(http, gateway.public, asked)

    assert len(found) == len(asked) == 225
    quality = sum(ndcg(found[question.id], question.relevant, 10) for question in asked) / len(asked)
    print(f"nDCG@10 {quality:.4f}, recall@10 {sum(recall(found[q.id], q.relevant, 10) for q in asked) / len(asked):.4f}")
    assert quality >= LEAST_NDCG
