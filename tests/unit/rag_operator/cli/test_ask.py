"""Questions asked by hand, one or many, through the API server or at an address."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from unit.rag_operator.cli.fakes import Command, FakeClient


def test_ask_goes_through_the_api_server_and_shows_citations(rag: Command, client: FakeClient) -> None:
    client.answers[""] = {
        "answer": "By train.",
        "citations": [{"index": 1, "document": "docs/travel.md", "title": "Travel", "uri": "s3://docs/travel.md"}],
        "revision": "aaaaaaaaaa",
        "epoch": 41,
    }
    shown = rag("ask", "handbook", "How do we travel?", "-k", "3").output
    assert client.calls == [
        ("/api/v1/namespaces/search/services/handbook-gateway:http/proxy/v1/query", {"query": "How do we travel?", "k": 3})
    ]
    for what in ("By train.", "[1]", "Travel", "s3://docs/travel.md", "revision aaaaaaaaaa, epoch 41"):
        assert what in shown


def test_ask_of_a_pipeline_that_does_not_answer_fails(rag: Command) -> None:
    result = rag("ask", "handbook", "Why?")
    assert (result.exit_code, "no endpoints available" in result.output) == (1, True)


def test_evaluate_asks_both_revisions_the_same_questions(rag: Command, client: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps({"id": "1", "text": "How?", "relevant": {"docs/a": 1}}) + "\n")
    client.answers = {
        "aaaaaaaaaa": {"revision": "aaaaaaaaaa", "results": [{"document": "docs/b"}, {"document": "docs/a"}]},
        "bbbbbbbbbb": {"revision": "bbbbbbbbbb", "results": [{"document": "docs/a"}]},
    }
    found = json.loads(rag("evaluate", "handbook", str(file), "-o", "json").output)
    assert found["bbbbbbbbbb"] == {"nDCG@10": 1.0, "Recall@10": 1.0, "MRR": 1.0}
    assert (found["aaaaaaaaaa"]["MRR"], round(found["aaaaaaaaaa"]["nDCG@10"], 4)) == (0.5, 0.6309)


def test_evaluate_leaves_out_a_candidate_that_nobody_can_reach_yet(rag: Command, client: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps({"id": "1", "text": "How?", "relevant": {"docs/a": 1}}) + "\n")
    client.status = {**client.status, "candidate": {**client.status["candidate"], "stage": "Indexing"}}
    client.answers = {"aaaaaaaaaa": {"revision": "aaaaaaaaaa", "results": []}}
    assert set(json.loads(rag("evaluate", "handbook", str(file), "-o", "json").output)) == {"aaaaaaaaaa"}


def test_evaluate_refuses_answers_of_another_revision(rag: Command, client: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps({"id": "1", "text": "How?", "relevant": {"docs/a": 1}}) + "\n")
    client.answers = {"dddddddddd": {"revision": "aaaaaaaaaa", "results": []}}
    result = rag("evaluate", "handbook", str(file), "--revision", "dddddddddd")
    assert (result.exit_code, "answered for dddddddddd" in result.output) == (1, True)


def test_evaluate_names_the_line_that_is_no_question(rag: Command, tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text('{"id": "1"}\n')
    result = rag("evaluate", "handbook", str(file))
    assert (result.exit_code, "line 1" in result.output) == (1, True)


def hangs(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: httpx.Response(200, text="<html>"), "what answers there is no gateway: <html>"),
        (lambda _: httpx.Response(302, headers={"location": "/login"}), "302"),
        (hangs, "ReadTimeout"),
    ],
    ids=["another server", "a login page", "nobody in time"],
)
def test_ask_at_an_address_that_is_no_gateway_says_so(
    rag: Command, monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response], why: str
) -> None:
    monkeypatch.setattr(httpx, "AsyncClient", partial(httpx.AsyncClient, transport=httpx.MockTransport(answer)))
    result = rag("ask", "handbook", "Why?", "--url", "http://elsewhere.example")
    assert (result.exit_code, f"failed to ask http://elsewhere.example: {why}" in result.output) == (1, True)


def test_ask_at_what_is_no_address_says_so(rag: Command) -> None:
    result = rag("ask", "handbook", "Why?", "--url", "http://gateway:http")
    assert (result.exit_code, "failed to ask http://gateway:http: " in result.output) == (1, True)


def test_questions_that_are_no_text_are_one_clear_error(rag: Command, tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_bytes('{"id": "1", "text": "Wie geht\'s, Jürgen?"}'.encode("latin-1"))
    result = rag("evaluate", "handbook", str(file))
    assert (result.exit_code, f"{file} is not UTF-8" in result.output) == (1, True)
