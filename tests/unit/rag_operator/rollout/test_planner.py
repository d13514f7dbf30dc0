"""The planner's own promises: position first, deadlines without pauses, floors, quiet at rest. Whole rollouts are in tests/simulation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag_operator import names
from rag_operator.api.v1alpha1.rollout import Evaluation
from rag_operator.model.observed import EvaluationReading, Observed
from rag_operator.model.plan import Keep, Leaving, Plan, Record, Retired
from rag_operator.rollout.gates import policy_digest
from rag_operator.rollout.planner import plan
from unit.rag_operator.rollout.situations import (
    CANARY,
    EVALUATION,
    HOUR,
    NOW,
    A,
    B,
    keeps,
    observed,
    planned,
    record,
    revision,
    rollout,
    spec,
    states,
)

ASKED = policy_digest(Evaluation.model_validate(EVALUATION))


def test_at_rest_nothing_is_done() -> None:
    result = planned(observed(A), record(), wanted=A)
    assert result == Plan(record(), (Keep(A.name, "stable"),))
    assert not result.moved


def test_a_changed_position_is_recorded_before_anything_is_done_about_it() -> None:
    result = planned(observed(A), record())
    assert result.record.rollout is not None
    assert result.record.rollout.candidate == B.name
    assert result.moved
    assert (result.table, result.evaluation, result.collect, result.forget, result.requeue_after) == (None, None, (), (), 0.0)


def test_while_references_cannot_be_resolved_nothing_new_begins() -> None:
    assert planned(observed(A), record(), wanted=None).record == record()
    assert planned(observed(A, B), record(rollout=rollout("Indexing")), wanted=None).record.rollout is not None


def test_after_status_was_lost_verbs_that_still_stand_are_not_done_again() -> None:
    old = {names.VERB_ROLLBACK: f"{A.name}/1", names.VERB_REINDEX: "1"}
    seen = observed(A, B, weights={B.name: 100, A.name: 0}, verbs=old)
    restored = planned(seen, Record())
    assert restored.record.retired is not None
    assert restored.record.retired.revision == A.name
    assert [note.reason for note in restored.notes] == ["RecordRestored", "VerbIgnored"]
    after = planned(seen, restored.record).record
    assert (after.stable, after.rejected, after.reindex) == (B.name, (), "1")
    again = planned(replace(seen, verbs={**old, names.VERB_ROLLBACK: f"{A.name}/2"}), after).record
    assert again.stable == A.name


def test_only_an_index_that_stays_says_that_the_record_was_lost() -> None:
    for going, adopted in ((True, False), (False, True)):
        seen = observed(B, table=None, revisions={}, components=states(B, collecting=going))
        assert planned(seen, Record()).record.adopted is adopted


def test_a_rejected_revision_waits_for_retry() -> None:
    assert planned(observed(A), record(rejected=(B.name,))).record.rollout is None


def test_suspended_nothing_moves() -> None:
    held = record(rollout=rollout(weight=10), retired=Retired("0ld", NOW - 1))
    result = plan(spec("b", CANARY, suspend=True), A, observed(A, B), held, NOW)
    assert (result.table, result.collect, result.requeue_after) == (None, (), None)
    assert result.record.rollout is not None
    assert result.record.rollout.paused


def test_time_spent_suspended_does_not_count() -> None:
    before = record(rollout=rollout("Indexing", paused=True))
    late = NOW + 48 * HOUR
    result = planned(observed(A, B, components=states(A, B, ready=False, built=False)), before, now=late)
    assert result.record.rollout is not None
    assert (result.record.rollout.progress_since, result.record.rollout.paused) == (late, False)


def test_the_deadline_needs_a_second_look() -> None:
    seen, before = observed(A, B, components=states(A, B, ready=False)), record(rollout=rollout())
    first = planned(seen, before, now=NOW + 2 * HOUR)
    assert first.record.rollout is not None
    assert (first.record.rollout.overdue_since, first.requeue_after) == (NOW + 2 * HOUR, 60.0)
    meanwhile = planned(seen, first.record, now=NOW + 2 * HOUR + 30)
    assert meanwhile.requeue_after == 30.0
    second = planned(seen, meanwhile.record, now=NOW + 2 * HOUR + 61)
    assert (second.record.rollout, second.record.rejected) == (None, (B.name,))
    assert second.notes[0].reason == "ProgressDeadlineExceeded"


def test_progress_starts_the_deadline_again() -> None:
    building = states(A, B, ready=False, built=False, progress=100)
    result = planned(observed(A, B, components=building), record(rollout=rollout("Indexing", progress=150)), now=NOW + 2 * HOUR)
    assert result.record.rollout is not None
    assert result.record.rollout.progress_since == NOW + 2 * HOUR
    stale = planned(observed(A, B, components=building), record(rollout=rollout("Indexing", progress=500)), now=NOW + HOUR / 2)
    assert stale.record.rollout is not None
    assert stale.record.rollout.progress_since == NOW


def test_the_first_revision_has_no_deadline_and_no_gate() -> None:
    first = Record(rollout=rollout("Indexing", evaluation_policy=ASKED))
    waiting = planned(observed(B, table=None, components=states(B, built=False)), first, now=NOW + 24 * HOUR, evaluation=EVALUATION)
    assert waiting.record.rollout is not None
    ready = planned(observed(B, table=None), first, evaluation=EVALUATION)
    assert ready.record.stable == B.name


@pytest.mark.parametrize(
    ("stables", "limit", "candidates", "held"), [(0, 0, 3, "0"), (2, 0, 3, "2"), (2, 1, 4, "3"), (2, 1, 3, ""), (3, 0, 3, "")]
)
def test_more_failed_documents_than_stables_and_those_allowed_hold_the_candidate_back(
    stables: int, limit: int, candidates: int, held: str
) -> None:
    parts = states(A, B)
    for index, failed in ((A.index.name, stables), (B.index.name, candidates)):
        parts[index] = replace(parts[index], failed_documents=failed)
    wants = spec("b", CANARY, documents={"maxFailedDocuments": limit})
    result = plan(wants, B, observed(A, B, components=parts), record(rollout=rollout("CatchingUp")), NOW)
    assert result.record.rollout is not None
    assert (result.record.rollout.phase == "CatchingUp") == bool(held)
    assert not held or f"{candidates} documents, allowed: {held}" in result.record.rollout.held


def test_an_index_that_is_being_collected_is_not_touched_until_it_is_gone() -> None:
    parts = states(A, B)
    parts[B.index.name] = replace(parts[B.index.name], collecting=True)
    result = planned(observed(A, B, components=parts), record(rollout=rollout("Provisioning")))
    assert B.name not in keeps(result)
    assert result.record.rollout is not None
    assert "is being collected" in result.record.rollout.held


def test_the_evaluation_waits_for_gateways_that_know_the_candidate() -> None:
    before = record(rollout=rollout("Evaluating", evaluation_policy=ASKED))
    unknown = planned(observed(A, B), before, evaluation=EVALUATION)
    assert (unknown.evaluation, unknown.table is None) == (None, False)
    listed = observed(A, B, weights={A.name: 100, B.name: 0})
    asked = planned(listed, before, evaluation=EVALUATION).evaluation
    assert asked is not None
    assert (asked.stable, asked.candidate, asked.attempt, asked.layout_only) == (A.name, B.name, 1, False)


def test_an_evaluation_that_runs_is_not_stopped_by_a_gateway_that_cannot_be_asked_for_a_moment() -> None:
    before = record(rollout=rollout("Evaluating", evaluation_policy=ASKED))
    listed = observed(A, B, weights={A.name: 100, B.name: 0})
    mute = replace(listed, gateways=(replace(listed.gateways[0], reachable=False),))
    assert planned(mute, before, evaluation=EVALUATION).evaluation is None
    for seen in (mute, replace(listed, gateways=(), gateways_known=False)):
        running = replace(seen, evaluation=EvaluationReading(A.name, B.name, 1, running=True))
        assert planned(running, before, evaluation=EVALUATION).evaluation == planned(listed, before, evaluation=EVALUATION).evaluation
    another = replace(mute, evaluation=EvaluationReading(A.name, B.name, 2, running=True))
    assert planned(another, before, evaluation=EVALUATION).evaluation is None


def test_only_the_layout_is_measured_by_recall() -> None:
    layout = revision("a", shards=4)
    before = record(rollout=rollout("Evaluating", candidate=layout.name, evaluation_policy=ASKED))
    seen = observed(A, layout, weights={A.name: 100, layout.name: 0})
    asked = planned(seen, before, wanted=layout, evaluation=EVALUATION).evaluation
    assert asked is not None
    assert asked.layout_only


def test_another_question_set_is_asked_anew() -> None:
    before = record(rollout=rollout("Evaluating", evaluation_policy="other", waiting_for="evaluation"))
    after = planned(observed(A, B), before, evaluation=EVALUATION).record.rollout
    assert after is not None
    assert after.evaluation_attempt == 2


@pytest.mark.parametrize("failures", [0, 1, 2])
@pytest.mark.parametrize(
    "again", [{"verbs": {names.VERB_RETRY: f"{B.name}/1"}}, {"policy": {**EVALUATION, "minQuestions": 50}}], ids=["retry", "another policy"]
)
def test_who_asks_anew_gets_every_attempt_however_many_failed_before(failures: int, again: dict[str, dict[str, Any]]) -> None:
    after = record(rollout=rollout("Evaluating", evaluation_policy=ASKED))
    seen, policy = observed(A, B, weights={A.name: 100, B.name: 0}), EVALUATION
    for _ in range(failures):
        after = failed(seen, after, policy)
    seen, policy = replace(seen, verbs=again.get("verbs", {})), again.get("policy", EVALUATION)
    after = planned(seen, after, evaluation=policy).record
    attempts = set()
    for _ in range(5):
        assert after.rollout is not None
        attempts.add(after.rollout.evaluation_attempt)
        after = failed(seen, after, policy)
    assert len(attempts) == 3


def failed(seen: Observed, before: Record, policy: dict[str, Any]) -> Record:
    """What is recorded when the evaluation that is asked for now has failed."""
    assert before.rollout is not None
    reading = EvaluationReading(A.name, B.name, before.rollout.evaluation_attempt, error="its node went away")
    return planned(replace(seen, evaluation=reading), before, evaluation=policy).record


def test_a_clock_that_was_set_back_keeps_nobody_waiting() -> None:
    future = NOW + 10 * HOUR
    before = record(
        rollout=rollout(step_since=future, weight_since=future),
        retired=Retired("0ld", NOW + 999 * HOUR),
        leaving=(Leaving("x", future, ""),),
    )
    after = plan(spec("b", CANARY, suspend=True), B, observed(A, B), before, NOW).record
    assert after.rollout is not None
    assert after.retired is not None
    assert (after.rollout.step_since, after.rollout.weight_since) == (NOW, NOW)
    assert (after.retired.until, after.leaving[0].idle_at) == (NOW + 24 * HOUR, NOW + 300)


def test_the_history_keeps_the_last_five_and_ten_rejected() -> None:
    before = record(rejected=tuple(f"r{n}" for n in range(10)), rollout=rollout(weight=10))
    for _ in range(7):
        parts = states(A, B, failed=True)
        after = planned(observed(A, B, components=parts), before).record
        before = replace(after, rollout=rollout(weight=10))
    assert (len(after.decisions), len(after.rejected), after.rejected[-1]) == (5, 10, B.name)


@pytest.mark.parametrize(("until", "left"), [(NOW + 1, True), (NOW, False)])
def test_the_rollback_window_closes_on_time(until: float, left: bool) -> None:
    result = planned(observed(B, A), Record(stable=B.name, retired=Retired(A.name, until), epoch=7))
    assert (result.record.retired is not None) == left


@pytest.mark.parametrize("collecting", [True, False], ids=["collected", "deleted by hand"])
def test_an_index_that_is_made_anew_makes_progress_from_nothing(*, collecting: bool) -> None:
    """The mark of the index before must not count: a long build would seem to stand still until it passed it."""
    old = observed(A, B, components=states(A, B, built=False, ready=False, progress=60_000, uid="old", collecting=collecting))
    begun = planned(old, record(rollout=rollout("Provisioning"))).record
    for minute, done in enumerate((5, 10, 20)):
        seen = observed(A, B, components=states(A, B, built=False, ready=False, progress=done, uid="new"))
        begun = planned(seen, begun, now=NOW + 60 * minute).record
        assert begun.rollout is not None
        assert begun.rollout.progress_since == NOW + 60 * minute


def test_what_a_candidate_shares_with_stable_makes_no_progress_for_it() -> None:
    """A corpus that grows would put the deadline off for ever."""
    candidate = revision("a", top_k=20)
    before = record(rollout=rollout("WarmingUp", candidate=candidate.name, progress=100))
    parts = states(A, candidate, progress=5000)
    unready = replace(observed(A, candidate, components=parts), unmounted={candidate.name: "its credentials are not mounted"})
    assert candidate.index.name == A.index.name
    result = planned(unready, before, wanted=candidate, now=NOW + 2 * HOUR).record
    assert result.rollout is not None
    assert (result.rollout.progress_since, result.rollout.overdue_since) == (NOW, NOW + 2 * HOUR)


def test_a_candidate_that_catches_up_with_every_listing_while_another_part_starts_is_told_of_once() -> None:
    position, told = record(rollout=rollout("Provisioning")), []
    for turn in range(6):  # stable's listing is told a moment before the candidate's, again and again
        parts = states(A, B)
        parts[B.index.name] = replace(parts[B.index.name], caught_up=bool(turn % 2), ready=bool(turn % 2))
        seen = replace(observed(A, B, components=parts), unmounted={B.name: "the generator starts"})
        found = planned(seen, position, now=NOW + 10 * turn)
        position, told = found.record, [*told, *(note.reason for note in found.notes)]
    assert told == ["CatchingUp"]
