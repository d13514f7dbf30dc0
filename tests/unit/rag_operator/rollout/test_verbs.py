"""What verbs do, once, and when they are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag_operator import names
from rag_operator.controller.components import View
from rag_operator.kube.child import reduce
from rag_operator.kube.resources import INDEXES
from rag_operator.model.plan import Record, Retired
from rag_operator.rollout import verbs
from rag_operator.rollout.identity import resolve
from rag_operator.rollout.planner import plan
from rag_operator.rollout.situation import Move
from unit.rag_operator.rollout.situations import NOW, A, B, observed, record, rollout, situation, spec, states

SHIFTING = record(rollout=rollout(weight=10, waiting_for="2"))


def use(verb: str, value: str, before: Record = SHIFTING, **seen: Any) -> Move:
    found = situation(observed(A, B, weights={A.name: 90, B.name: 10}, verbs={verb: value}, **seen))
    move = verbs.due(found, before)
    assert move is not None
    assert move.record.verbs_done[verb] == value
    assert verbs.due(found, move.record) is None, "a value is handled once"
    return move


def refusal(verb: str, value: str, before: Record = SHIFTING, **seen: Any) -> str:
    move = use(verb, value, before, **seen)
    assert [note.reason for note in move.notes] == ["VerbRefused"]
    return move.record.verbs_refused[verb]


def test_promote_approves_what_waits() -> None:
    after = use(names.VERB_PROMOTE, f"{B.name}/2").record.rollout
    assert after is not None
    assert (after.approved, after.waiting_for) == (("2",), "")


def test_a_second_wait_for_the_same_is_approved_by_another_nonce() -> None:
    waiting = record(rollout=rollout(weight=10, waiting_for="analysis"))
    once = use(names.VERB_PROMOTE, f"{B.name}/analysis/1", waiting).record
    assert once.rollout is not None
    again = use(names.VERB_PROMOTE, f"{B.name}/analysis/2", replace(once, rollout=replace(once.rollout, weight=50, waiting_for="analysis")))
    assert again.record.rollout is not None
    assert verbs.approval(again.record.rollout, "analysis")


@pytest.mark.parametrize(
    ("value", "why"), [(f"{B.name}/3", "waits for 2"), (f"{A.name}/2", "is rolled out, not"), (f"{B.name}", "waits for 2")]
)
def test_a_stale_promote_is_refused_with_the_reason(value: str, why: str) -> None:
    assert why in refusal(names.VERB_PROMOTE, value)


def test_promote_of_what_does_not_wait_is_refused() -> None:
    assert "waits for nothing" in refusal(names.VERB_PROMOTE, f"{B.name}/2", record(rollout=rollout()))


def test_an_approved_analysis_counts_for_its_weight_only() -> None:
    waiting = record(rollout=rollout(weight=10, waiting_for="analysis"))
    after = use(names.VERB_PROMOTE, f"{B.name}/analysis", waiting).record.rollout
    assert after is not None
    assert verbs.approval(after, "analysis")
    assert not verbs.approval(rollout(weight=50, approved=after.approved), "analysis")


@pytest.mark.parametrize(("verb", "value"), [(names.VERB_PROMOTE_FULL, B.name), (names.VERB_PROMOTE, f"{B.name}/2")])
def test_what_is_approved_again_and_again_is_approved_once(verb: str, value: str) -> None:
    before = SHIFTING
    for nonce in ("1", "2"):
        after = use(verb, f"{value}/{nonce}", before).record
        assert after.rollout is not None
        before = replace(after, rollout=replace(after.rollout, waiting_for="2"))
    assert before.rollout is not None
    assert len(before.rollout.approved) == 1


def test_promote_full_approves_everything() -> None:
    after = use(names.VERB_PROMOTE_FULL, f"{B.name}/1").record.rollout
    assert after is not None
    assert all(verbs.approval(after, what) for what in ("2", "evaluation", "analysis"))


def test_abort_ends_the_rollout_and_rejects_the_revision() -> None:
    after = use(names.VERB_ABORT, B.name).record
    assert (after.rollout, after.rejected, after.decisions[0].what) == (None, (B.name,), "Aborted")
    assert refusal(names.VERB_ABORT, B.name, record()) == "nothing is rolled out"


def test_rollback_makes_the_retired_revision_stable_at_once() -> None:
    before = Record(stable=B.name, retired=Retired(A.name, NOW + 60))
    after = use(names.VERB_ROLLBACK, f"{A.name}/1", before).record
    assert (after.stable, after.retired, after.rejected) == (A.name, None, (B.name,))
    assert [entry.revision for entry in after.leaving] == [B.name]


def test_rollback_does_not_wait_until_the_retired_index_has_taken_in_what_comes() -> None:
    seen = {"observed": {"probes": "Unknown", "loaded": True, "pendingRows": 4}}
    status = {"build": {"documents": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z"}, **seen}
    meta = {"name": A.index.name, "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {}}
    child = reduce(INDEXES, {"metadata": meta, "spec": {"collecting": False}, "status": status})
    index = View([A], {(INDEXES.kind, A.index.name): child}, weights={B.name: 100, A.name: 0}).states()[A.index.name]
    before = Record(stable=B.name, retired=Retired(A.name, NOW + 60))
    after = use(names.VERB_ROLLBACK, f"{A.name}/1", before, components={**states(B, A), A.index.name: index}).record
    assert after.stable == A.name


def test_rollback_is_refused_without_a_retired_revision_that_can_serve() -> None:
    assert refusal(names.VERB_ROLLBACK, f"{A.name}/1", record()) == "there is no revision to roll back to"
    before = Record(stable=B.name, retired=Retired(A.name, NOW + 60))
    assert refusal(names.VERB_ROLLBACK, f"{B.name}/1", before) == f"only revision {A.name} can be rolled back to"
    assert "cannot serve" in refusal(names.VERB_ROLLBACK, f"{A.name}/1", before, components=states(B, A, ready=False))


def test_rollback_during_a_rollout_rejects_the_candidate_too() -> None:
    before = Record(stable=A.name, retired=Retired("0ld", NOW + 60), rollout=rollout(weight=10))
    seen = observed(A, B, revisions={A.name: A, B.name: B, "0ld": A}, verbs={names.VERB_ROLLBACK: "0ld/1"})
    move = verbs.due(situation(seen), before)
    assert move is not None
    assert (move.record.stable, move.record.rejected, move.record.rollout) == ("0ld", (B.name, A.name), None)
    assert [(decision.what, decision.revision) for decision in move.record.decisions] == [("RolledBack", A.name), ("Aborted", B.name)]
    assert [note.message for note in move.notes[1:]] == [f"revision {B.name}: rolled back to 0ld", f"revision {A.name}: rolled back to 0ld"]


def test_rollback_to_what_is_rolled_out_again_promotes_it_at_once() -> None:
    before = Record(stable=A.name, retired=Retired(B.name, NOW + 60), rollout=rollout(weight=10))
    after = use(names.VERB_ROLLBACK, f"{B.name}/1", before).record
    assert (after.stable, after.rejected, after.rollout) == (B.name, (A.name,), None)
    assert [(decision.what, decision.revision) for decision in after.decisions] == [("RolledBack", A.name), ("Promoted", B.name)]


def test_retry_takes_a_revision_out_of_the_rejected() -> None:
    assert use(names.VERB_RETRY, f"{B.name}/1", record(rejected=(B.name,))).record.rejected == ()
    assert "neither rejected nor rolled out" in refusal(names.VERB_RETRY, "unknown", record())


def test_retry_of_a_gate_that_somebody_approved_asks_it_again() -> None:
    approved = record(rollout=rollout("WarmingUp", waiting_for="1", approved=("evaluation",)))
    after = use(names.VERB_RETRY, f"{B.name}/1", approved).record.rollout
    assert after is not None
    assert not verbs.approval(after, "evaluation")


def test_retry_of_a_waiting_gate_asks_again() -> None:
    after = use(names.VERB_RETRY, B.name, record(rollout=rollout("Evaluating", waiting_for="evaluation"))).record.rollout
    assert after is not None
    assert (after.evaluation_attempt, after.attempt, after.gates, after.waiting_for) == (2, 1, (), "")
    assert "has traffic" in refusal(names.VERB_RETRY, B.name, record(rollout=rollout(weight=10)))


def test_reindex_and_approve_deletions_are_remembered() -> None:
    assert use(names.VERB_REINDEX, "2026-01").record.reindex == "2026-01"
    value = f"{A.index.name}/1"
    assert use(names.VERB_APPROVE_DELETIONS, value).record.approved_deletions == {A.index.name: value}
    assert refusal(names.VERB_APPROVE_DELETIONS, "nothing/1") == "there is no index nothing"


def test_an_approval_for_one_index_takes_none_back_that_another_one_still_waits_for() -> None:
    first, second = f"{A.index.name}/1", f"{B.index.name}/1"
    approved = record(approved_deletions={A.index.name: first, "gone": "gone/1"})
    after = use(names.VERB_APPROVE_DELETIONS, second, approved).record
    assert after.approved_deletions == {A.index.name: first, B.index.name: second}
    assert refusal(names.VERB_APPROVE_DELETIONS, first, after) == "this was approved before; another nonce approves anew"


@pytest.mark.parametrize("verb", [names.VERB_REINDEX, names.VERB_APPROVE_DELETIONS])
def test_a_value_that_an_index_cannot_hold_is_refused_once(verb: str) -> None:
    found = situation(observed(A, B, verbs={verb: f"{A.index.name}/{'x' * 600}"}))
    move = verbs.due(found, record())
    assert move is not None
    assert move.record.verbs_refused == {verb: "a value has at most 512 characters"}
    assert (move.record.reindex, move.record.approved_deletions) == ("", {})
    assert len(move.record.verbs_done[verb]) == 513
    assert verbs.due(found, move.record) is None


def test_a_reindex_that_still_stands_after_status_was_lost_rolls_nothing_out() -> None:
    wish = spec("a")
    again, plain = (resolve("handbook", wish, reindex=value, collection=f"rag_{value}") for value in ("x", ""))
    seen = observed(again, weights={again.name: 100}, verbs={names.VERB_REINDEX: "x"})
    after, said = Record(), []
    for _ in range(4):
        result = plan(wish, again if after.reindex else plain, seen, after, NOW)
        after, said = result.record, [*said, *(note.reason for note in result.notes)]
    assert said == ["RecordRestored", "VerbDone"]
    assert (after.stable, after.rollout, after.leaving, after.decisions) == (again.name, None, (), ())


def test_what_stops_comes_before_what_goes_on() -> None:
    both = {names.VERB_PROMOTE: f"{B.name}/2", names.VERB_ABORT: B.name}
    move = verbs.due(situation(observed(A, B, verbs=both)), SHIFTING)
    assert move is not None
    assert move.record.rollout is None


def test_a_refusal_is_forgotten_when_the_verb_succeeds() -> None:
    before = record(verbs_refused={names.VERB_REINDEX: "why"})
    assert use(names.VERB_REINDEX, "1", before).record.verbs_refused == {}
