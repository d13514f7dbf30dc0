"""The commands, from arguments to output and exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from rag_operator import names
from rag_operator.cli import main
from rag_operator.model import codec
from rag_operator.model.plan import Record
from unit.rag_operator.cli.fakes import FakeClient
from unit.rag_operator.rollout.situations import A, B, spec

Command = Callable[..., Result]


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def rag(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(main, "connect", client.connect)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main.app, list(arguments))

    return invoke


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "handbook.yaml"
    document = {"apiVersion": names.API_VERSION, "kind": "RAGPipeline", "metadata": {"name": "handbook"}, "spec": spec("b").to_wire()}
    file.write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, document]))
    return file


def test_status_shows_revisions_side_by_side_with_progress_and_what_is_waited_for(rag: Command) -> None:
    shown = rag("status", "handbook").output
    for what in (
        "search/handbook",
        "RollingOut",
        "stable aaaaaaaaaa  90 %",
        "candidate bbbbbbbbbb  10 %",
        "700/1400 documents, 2100 chunks, 10.0/s, 1m10s left",
        "step 2/3",
        "waits: kubectl rag promote (bbbbbbbbbb/2)",
        "evaluation Passed",
        "kept for rollback until 2026-01-02T00:00:00Z",
        "IndexFresh Stale",
        "Promoted aaaaaaaaaa",
    ):
        assert what in shown


def test_status_without_a_name_lists_the_pipelines(rag: Command) -> None:
    assert "handbook" in rag("status").output


def test_output_for_programs_is_json(rag: Command) -> None:
    assert json.loads(rag("status", "handbook", "-o", "json").output)["pipeline"]["traffic"] == "90/10"
    assert json.loads(rag("status", "-o", "json").output)[0]["name"] == "handbook"
    assert json.loads(rag("promote", "handbook", "-o", "json").output)["result"] == "Done"


def test_a_pipeline_that_does_not_exist_is_one_clear_error(rag: Command) -> None:
    result = rag("status", "other")
    assert result.exit_code == 1
    assert "there is no RAGPipeline 'other' in namespace 'search'" in result.output


@pytest.mark.parametrize(
    ("arguments", "annotation", "value"),
    [
        (["promote", "handbook", "--nonce", "7"], names.VERB_PROMOTE, "bbbbbbbbbb/2/7"),
        (["promote", "handbook", "--full", "--nonce", "7"], names.VERB_PROMOTE_FULL, "bbbbbbbbbb/7"),
        (["abort", "handbook", "--nonce", "7"], names.VERB_ABORT, "bbbbbbbbbb/7"),
        (["retry", "handbook", "--nonce", "7"], names.VERB_RETRY, "bbbbbbbbbb/7"),
        (["retry", "handbook", "dddddddddd", "--nonce", "7"], names.VERB_RETRY, "dddddddddd/7"),
        (["rollback", "handbook", "--nonce", "7"], names.VERB_ROLLBACK, "cccccccccc/7"),
        (["rollback", "handbook", "--to", "cccccccccc", "--yes", "--nonce", "7"], names.VERB_ROLLBACK, "cccccccccc/7"),
        (["reindex", "handbook", "--nonce", "7"], names.VERB_REINDEX, "7"),
        (["approve-deletions", "handbook", "--nonce", "7"], names.VERB_APPROVE_DELETIONS, "handbook-index-a/7"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_verbs_only_annotate(rag: Command, client: FakeClient, arguments: list[str], annotation: str, value: str) -> None:
    result = rag(*arguments)
    assert (result.exit_code, client.annotations) == (0, {annotation: value})
    assert f"{value}: Done" in result.output


def test_a_refused_verb_says_why_and_fails(rag: Command, client: FakeClient) -> None:
    client.refuse = "revision bbbbbbbbbb waits for nothing"
    result = rag("promote", "handbook")
    assert (result.exit_code, "Refused: revision bbbbbbbbbb waits for nothing" in result.output) == (1, True)


def test_a_verb_nobody_handled_yet_is_pending(rag: Command, client: FakeClient) -> None:
    client.silent = True
    asked, waited = rag("promote", "handbook", "--wait", "0"), rag("promote", "handbook", "--wait", "0.1")
    assert ("Pending" in asked.output, asked.exit_code, waited.exit_code) == (True, 0, 3)


@pytest.mark.parametrize(
    ("missing", "command", "why"),
    [
        ("candidate", ["promote"], "nothing is rolled out"),
        ("candidate", ["abort"], "nothing is rolled out"),
        ("retired", ["rollback"], "there is no revision to roll back to"),
        ("stable", ["approve-deletions"], "no index serves yet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_asked_for_is_not_annotated(rag: Command, client: FakeClient, missing: str, command: list[str], why: str) -> None:
    del client.status[missing]
    result = rag(*command, "handbook")
    assert (result.exit_code, why in result.output, client.annotations) == (1, True, {})


def test_rollback_to_another_revision_than_the_kept_one_is_refused_here(rag: Command, client: FakeClient) -> None:
    assert rag("rollback", "handbook", "--to", "dddddddddd").exit_code == 1
    assert client.annotations == {}


def test_plan_says_what_is_new_and_how_much_would_be_embedded(rag: Command, client: FakeClient, manifest: Path) -> None:
    client.records = [A]
    client.status = {"record": codec.dumps(Record(stable=A.name))}
    client.indexes = {A.index.name: {"sync": {"chunks": 4200, "documents": 1400}}}
    change: dict[str, Any] = json.loads(rag("plan", str(manifest), "-o", "json").output)
    assert (change["revision"], change["stable"], change["chunks_to_embed"]) == (B.name, A.name, 4200)
    assert {(part["name"], part["fate"]) for part in change["parts"]} == {
        (B.embedder.name, "new"),
        (B.index.name, "new"),
        (A.embedder.name, "leaves"),
        (A.index.name, "leaves"),
    }
    shown = rag("plan", str(manifest)).output
    assert "embedder.local.model.name: acme/a → acme/b" in shown
    assert "about 4,200" in shown


def test_plan_of_a_pipeline_that_does_not_exist_yet(rag: Command, client: FakeClient, manifest: Path) -> None:
    client.indexes = {}
    client.status = {}
    assert "not known before the first build" in rag("plan", str(manifest)).output


def test_plan_of_a_wrong_file_names_the_field(rag: Command, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump({"kind": "RAGPipeline", "metadata": {"name": "x"}, "spec": {**spec("b").to_wire(), "sources": []}}))
    result = rag("plan", str(file))
    assert (result.exit_code, "spec.sources" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kind: ConfigMap", "holds no RAGPipeline"),
        ("kind: RAGPipeline", "metadata.name: Field required"),
        ("kind: RAGPipeline\nmetadata: {name: x}", "spec.sources: Field required"),
        ("kind: [", "is not YAML"),
    ],
    ids=lambda text: text.splitlines()[0],
)
def test_plan_of_a_file_that_holds_no_pipeline_is_wrong_usage(rag: Command, tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    result = rag("plan", str(file))
    assert (result.exit_code, why in result.output) == (2, True)


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


@pytest.mark.parametrize("kubeconfig", ["missing", "context: elsewhere", "not: [yaml"])
def test_without_a_cluster_a_command_says_where_it_looked(tmp_path: Path, kubeconfig: str) -> None:
    file = tmp_path / "config"
    if kubeconfig != "missing":
        file.write_text(kubeconfig)
    result = CliRunner().invoke(main.app, ["--kubeconfig", str(file), "status"])
    assert (result.exit_code, f"failed to read {file}" in result.output) == (1, True)


def test_the_program_calls_itself_what_people_type(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/kubectl-rag", "stauts"])
    with pytest.raises(SystemExit, match="2"):
        main.main()
    said = capsys.readouterr().err
    assert "Usage: kubectl rag [OPTIONS] COMMAND" in said
    assert "No such command 'stauts'" in said
