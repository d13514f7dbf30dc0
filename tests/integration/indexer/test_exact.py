"""A layout-only change: each revision's share of what exact search finds; one search is exact, the other misses half."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from aiohttp import web
from pymilvus import MilvusClient

from doubles.embedder import EmbedderDouble, vector_of
from doubles.indexing import Corpus, text_of
from doubles.ragindex import manifest
from doubles.web import Double
from rag_indexer import cli
from rag_indexer.evaluate import asking
from rag_indexer.settings import Settings
from rag_indexer.work.exact import DEPTH
from rag_runtime.contracts import headers

DOCUMENTS = {f"{number:02d}.txt": text_of(f"document {number}", 2) for number in range(12)}


class Gateway(Double):
    """Searches a flat index for both revisions; the candidate loses every second result, and refuses one question.

    When the first question comes it is being replaced.
    """

    def __init__(self, client: MilvusClient, collection: str) -> None:
        super().__init__()
        self._client = client
        self._collection = collection
        self._is_there = False

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/retrieve", self._retrieve)]

    async def _retrieve(self, request: web.Request) -> web.Response:
        body = await request.json()
        revision = request.headers[headers.REVISION]
        is_candidate = revision == "candidate"
        was_there, self._is_there = self._is_there, True
        if not was_there or (is_candidate and body["query"] == "refuse me"):
            return web.json_response({"error": {"message": "no"}}, status=503)
        vector = vector_of("query: " + body["query"], 8, "print-8").tolist()
        found = self._client.search(self._collection, data=[vector], limit=body["k"], output_fields=["document", "ordinal"])[0]
        results: list[dict[str, Any]] = [dict(hit["entity"]) for hit in found]
        kept = results[::2] if is_candidate else results
        return web.json_response({"results": kept}, headers={headers.REVISION: revision})


async def test_recall_is_counted_against_every_vector(
    lite_address: str, lite_client: MilvusClient, double: EmbedderDouble, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.0, 0.0))
    corpus.become(DOCUMENTS)
    tmp_path = corpus.root.parents[1]
    index = manifest(lite_address, double.url)
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(index))
    asked = [*(f"What about subject {number}?" for number in range(9)), "refuse me"]
    questions = "\n".join(
        json.dumps({"id": str(number), "text": text, "relevant": {"docs/00.txt": 1}}) for number, text in enumerate(asked)
    )
    (tmp_path / "questions.jsonl").write_text(questions)
    settings = Settings(
        index_file=tmp_path / "index.yaml",
        status_file=tmp_path / "status.json",
        sources=tmp_path / "sources",
        credentials=tmp_path,
        work=tmp_path / "work",
        exact=True,
    )
    assert await cli._run("build", settings) == 0
    async with Gateway(lite_client, index["spec"]["collection"]) as gateway:
        monkeypatch.setenv("RAG_GATEWAY_URL", gateway.url)
        monkeypatch.setenv("RAG_STABLE", "stable")
        monkeypatch.setenv("RAG_CANDIDATE", "candidate")
        monkeypatch.setenv("RAG_EVALUATION_ID", "job-1")
        monkeypatch.setenv("RAG_QUESTIONS_FILE", str(tmp_path / "questions.jsonl"))
        assert await cli._run("evaluate", settings) == 0
    (report,) = json.loads((tmp_path / "status.json").read_bytes())[index["metadata"]["name"]]["evaluations"]
    assert (report["id"], report["metric"], report["questions"]) == ("job-1", f"Recall@{DEPTH}", 9)
    assert (report["errors"], report["errorsStable"], report["errorsCandidate"]) == (1, 0, 1)
    assert report["meanStable"] == 1.0
    assert report["meanCandidate"] == 0.5
    assert report["high"] < 0
