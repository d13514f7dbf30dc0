"""The commands, from arguments to output and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag_operator import names
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.cli import main
from rag_operator.model.plan import Record
from rag_operator.status.situation import Situation
from rag_operator.status.summarize import summarize
from unit.rag_operator.cli.fakes import Command, FakeClient
from unit.rag_operator.rollout.situations import NOW, spec


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


def test_a_namespace_without_pipelines_says_so(rag: Command, client: FakeClient) -> None:
    client.empty = True
    result = rag("status")
    assert (result.exit_code, result.output) == (0, "there is no RAGPipeline in namespace 'search'; kubectl get ragp -A lists them\n")
    assert json.loads(rag("status", "-o", "json").output) == []


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


def test_a_refused_verb_whose_value_is_longer_than_status_keeps_is_not_waited_for(rag: Command, client: FakeClient) -> None:
    client.refuse = "a value has at most 512 characters"
    result = rag("reindex", "handbook", "--nonce", "n" * 600, "--wait", "0.1")
    assert (result.exit_code, "Refused" in result.output) == (1, True)


@pytest.mark.parametrize("wanted", ["dddddddddd", "eeeeeeeeee"])
def test_of_several_rejected_revisions_the_one_that_the_spec_asks_for_is_tried_again(rag: Command, client: FakeClient, wanted: str) -> None:
    record = Record(rejected=("dddddddddd", "eeeeeeeeee"), stable="aaaaaaaaaa")
    situation = Situation(generation=1, before=RAGPipelineStatus(), record=record, now=NOW, spec=spec(), wanted=wanted)
    client.status = summarize(situation).to_wire()
    assert rag("retry", "handbook", "--nonce", "7").exit_code == 0
    assert client.annotations == {names.VERB_RETRY: f"{wanted}/7"}


def test_a_verb_nobody_handled_yet_is_pending(rag: Command, client: FakeClient) -> None:
    client.silent = True
    asked, waited = rag("promote", "handbook", "--wait", "0"), rag("promote", "handbook", "--wait", "0.1")
    assert ("Pending" in asked.output, asked.exit_code, waited.exit_code) == (True, 0, 3)
    assert "suspended" not in waited.output


def test_a_verb_on_a_pipeline_that_is_suspended_says_when_it_is_done(rag: Command, client: FakeClient) -> None:
    client.silent, client.suspended = True, True
    result = rag("abort", "handbook", "--wait", "0.1")
    assert "Pending: handbook is suspended; this is done once spec.suspend is false" in result.output
    said = json.loads(rag("abort", "handbook", "--wait", "0.1", "-o", "json").output)
    assert (result.exit_code, said["message"]) == (3, "handbook is suspended; this is done once spec.suspend is false")
    assert names.VERB_ABORT in client.annotations


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


@pytest.mark.parametrize("kubeconfig", ["missing", "", "no kubeconfig", "context: elsewhere", "not: [yaml"])
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


MARKUP = "[/data] is no directory [draft], 10:100:20"


def test_what_looks_like_markup_is_shown_as_it_was_said(rag: Command, client: FakeClient) -> None:
    client.status["message"] = MARKUP
    client.answers[""] = {"answer": "x", "citations": [{"index": 1, "document": "d", "title": MARKUP}], "revision": "a", "epoch": 1}
    for arguments in (("status",), ("status", "handbook"), ("ask", "handbook", "Why?")):
        result = rag(*arguments)
        assert (result.exit_code, MARKUP in result.output) == (0, True), arguments
    client.refuse = MARKUP
    assert MARKUP in rag("promote", "handbook").output


@pytest.mark.parametrize("arguments", [("status",), ("status", "handbook"), ("promote", "handbook")], ids=" ".join)
def test_a_status_of_another_version_is_one_clear_error(rag: Command, client: FakeClient, arguments: tuple[str, ...]) -> None:
    client.status = {"phase": "Meditating"}
    result = rag(*arguments)
    assert (result.exit_code, "phase" in result.output, "another version" in result.output) == (1, True, True)
    assert json.loads(rag("status", "handbook", "-o", "json").output)["pipeline"]["phase"] == "Meditating"


@pytest.mark.parametrize("arguments", [("status",), ("status", "handbook")], ids=" ".join)
def test_a_pipeline_that_is_being_deleted_is_not_shown_as_it_was_before(
    rag: Command, client: FakeClient, arguments: tuple[str, ...]
) -> None:
    client.deleted = "2026-01-02T00:00:00Z"
    shown = rag(*arguments).output
    assert ("Deleting" in shown, "RollingOut" in shown) == (True, False)
    assert ("rag promote" in shown, "waiting for approval" in shown, "IndexFresh" in shown) == (False, False, False)


@pytest.mark.parametrize("arguments", [("status",), ("status", "handbook")], ids=" ".join)
@pytest.mark.parametrize(("reason", "told"), [("Ready", False), ("Dropping", True)])
def test_of_what_was_said_of_a_pipeline_only_what_deleting_waits_for_is_shown_while_it_is_deleted(
    rag: Command, client: FakeClient, arguments: tuple[str, ...], reason: str, told: bool
) -> None:
    client.deleted = "2026-01-02T00:00:00Z"
    client.status |= {"reason": reason, "message": "said by the operator"}
    assert ("said by the operator" in rag(*arguments).output) == told


def test_of_a_pipeline_that_is_being_deleted_nothing_is_asked(rag: Command, client: FakeClient) -> None:
    client.deleted = "2026-01-02T00:00:00Z"
    result = rag("abort", "handbook")
    assert (result.exit_code, "handbook is being deleted" in result.output, client.annotations) == (1, True, {})
