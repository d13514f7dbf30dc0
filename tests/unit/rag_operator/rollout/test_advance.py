"""The candidate's path where live traffic is looked at: an edited policy, pauses, and an operator that was started again."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator.api.v1alpha1.rollout import Analysis
from rag_operator.model.observed import AnalysisReading, TrafficCounts
from rag_operator.model.plan import Gate
from rag_operator.rollout.gates import policy_digest
from unit.rag_operator.rollout.situations import HOUR, NOW, A, B, observed, planned, record, rollout

ANALYSIS = {"margin": "1%"}
LOOKED_AT = policy_digest(Analysis.model_validate(ANALYSIS))


def test_steps_that_are_edited_under_way_give_no_more_traffic_than_was_looked_at() -> None:
    steps = {"canary": {"steps": [{"setWeight": 50}]}, "analysis": ANALYSIS}
    shifting = rollout(weight=10, weight_since=NOW, steps=1, analysis_policy=LOOKED_AT)
    result = planned(observed(A, B, weights={A.name: 90, B.name: 10}), record(rollout=shifting), **steps)
    assert result.record.rollout is not None
    assert result.record.rollout.weight == 10


BLUE_GREEN = {"strategy": "BlueGreen", "canary": None, "blueGreen": {"autoPromote": False}}
SHORTER = {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}]}}


@pytest.mark.parametrize(
    ("steps", "approved", "weight", "waiting"),
    [(BLUE_GREEN, (), 0, "1"), (SHORTER, (), 10, "2"), (SHORTER, ("2",), 100, ""), (BLUE_GREEN, ("full",), 100, "")],
    ids=["another strategy", "fewer steps", "fewer steps, and theirs was approved", "everything was approved"],
)
def test_steps_that_are_edited_under_way_skip_no_approval(
    steps: dict[str, Any], approved: tuple[str, ...], weight: int, waiting: str
) -> None:
    unevaluated = (Gate("evaluation", "NotApplicable", "unchanged"),)
    after = record(rollout=rollout(weight=50, weight_since=NOW, step=3, steps=4, step_since=NOW, approved=approved, gates=unevaluated))
    for _ in range(4):
        given = after.rollout.weight if after.rollout is not None else 0
        after = planned(observed(A, B, weights={A.name: 100 - given, B.name: given}), after, **steps).record
        if after.rollout is not None and after.rollout.weight == 100:
            break
    assert after.rollout is not None
    assert (after.rollout.weight, after.rollout.waiting_for) == (weight, waiting)


def test_another_analysis_looks_at_live_traffic_anew_and_none_at_all_lets_it_go_on() -> None:
    unclear = Gate("analysis", "Inconclusive", "after 2h: fewer than 200 requests")
    held = rollout(weight=10, weight_since=NOW - 3 * HOUR, steps=1, gates=(unclear,), waiting_for="analysis", analysis_policy=LOOKED_AT)
    enough = AnalysisReading(TrafficCounts(9000), TrafficCounts(1000))
    seen = observed(A, B, weights={A.name: 90, B.name: 10}, analysis=enough)
    steps = {"canary": {"steps": [{"setWeight": 10}]}}
    still = planned(seen, record(rollout=held), **steps, analysis=ANALYSIS).record.rollout
    assert still is not None
    assert (still.step, still.gates, still.waiting_for) == (0, (unclear,), "analysis")
    for policy in ({"analysis": {"margin": "2%"}}, {}):
        after = planned(seen, record(rollout=held), **steps, **policy).record
        for _ in range(2):
            after = planned(seen, after, **steps, **policy).record
        assert after.rollout is not None
        assert after.rollout.step == 1
        assert unclear not in after.rollout.gates


def test_an_operator_that_was_started_again_gives_live_traffic_the_whole_time_again() -> None:
    late = NOW + 3 * HOUR
    shifting = rollout(weight=10, weight_since=NOW, steps=1, analysis_policy=LOOKED_AT)
    few = AnalysisReading(TrafficCounts(50), TrafficCounts(5), since=late - 60)
    seen = observed(A, B, weights={A.name: 90, B.name: 10}, analysis=few)
    steps = {"canary": {"steps": [{"setWeight": 10}]}, "analysis": ANALYSIS}
    after = planned(seen, record(rollout=shifting), now=late, **steps).record.rollout
    assert after is not None
    assert (after.gates, after.waiting_for) == ((), "")
    after = planned(seen, record(rollout=shifting), now=late + 2 * HOUR, **steps).record.rollout
    assert after is not None
    assert [gate.outcome for gate in after.gates] == ["Inconclusive"]


def test_metrics_that_cannot_be_read_after_a_long_pause_are_waited_for_as_long_as_ever() -> None:
    shifting = rollout(weight=10, weight_since=NOW - 72 * HOUR, steps=1, analysis_policy=LOOKED_AT)
    steps = {"canary": {"steps": [{"setWeight": 10}]}, "analysis": ANALYSIS}
    for heard, waiting in ((NOW - 10, ""), (NOW - 3 * HOUR, "analysis")):
        seen = observed(A, B, weights={A.name: 90, B.name: 10}, analysis_heard=heard)
        first = planned(seen, record(rollout=shifting), **steps).record
        after = planned(seen, first, **steps).record.rollout
        assert after is not None
        assert (after.weight, after.waiting_for) == (10, waiting)


def test_a_pause_that_comes_first_begins_when_the_candidate_is_there() -> None:
    steps = {"canary": {"steps": [{"pause": {"duration": "10m"}}, {"setWeight": 10}]}}
    unevaluated = (Gate("evaluation", "NotApplicable", "unchanged"),)
    before = record(rollout=rollout("Indexing", steps=2, started=NOW - 3 * HOUR, gates=unevaluated))
    seen = observed(A, B, weights={A.name: 100, B.name: 0})
    arrived = planned(seen, before, **steps).record
    for later, weight in ((0.0, 0), (599.0, 0), (601.0, 10)):
        after = arrived
        for _ in range(4):
            after = planned(seen, after, now=NOW + later, **steps).record
        assert after.rollout is not None
        assert after.rollout.weight == weight


@pytest.mark.parametrize(
    ("other", "left"),
    [({"analysis_policy": "other"}, ("evaluation", "1")), ({"evaluation_policy": "other"}, ("analysis@10", "1"))],
    ids=["analysis", "evaluation"],
)
def test_what_was_approved_of_a_gate_does_not_count_when_another_one_is_asked_for(other: dict[str, str], left: tuple[str, ...]) -> None:
    approved = ("evaluation", "analysis@10", "1")
    before = record(rollout=rollout(weight=10, approved=approved, **{"analysis_policy": LOOKED_AT, **other}))
    after = planned(observed(A, B), before, analysis=ANALYSIS).record.rollout
    assert after is not None
    assert after.approved == left


def test_with_all_the_traffic_nothing_is_left_to_compare_with() -> None:
    slow = AnalysisReading(TrafficCounts(), TrafficCounts(1000, retrieval_p95=9.0))
    limited = {"maxRetrievalP95": "200ms"}
    looked_at = policy_digest(Analysis.model_validate(limited))
    for weight, outcome in ((99, "Aborted"), (100, "Promoted")):
        before = record(rollout=rollout(weight=weight, weight_since=NOW, step=3, analysis_policy=looked_at))
        seen = observed(A, B, weights={A.name: 100 - weight, B.name: weight}, analysis=slow)
        assert planned(seen, before, analysis=limited).record.decisions[0].what == outcome
