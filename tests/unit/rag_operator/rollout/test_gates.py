"""What the offline gate makes of numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_operator.api.v1alpha1.rollout import Evaluation
from rag_operator.model.observed import EvaluationReading, MetricReading
from rag_operator.rollout import gates
from unit.rag_operator.rollout.situations import EVALUATION, A, B, revision

METRIC = MetricReading("nDCG@10", 0.50, 0.50, 0.0, -0.02, 0.02, 225)


def evaluation(**changes: Any) -> Evaluation:
    return Evaluation.model_validate({**EVALUATION, **changes})


def outcome(metric: MetricReading, **policy: Any) -> str:
    gate = gates.judge(EvaluationReading("a", "b", metrics=(metric,)), evaluation(**policy))
    assert gate is not None
    return gate.outcome


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.04, 0.01, "Passed"), (-0.12, -0.06, "Failed"), (-0.09, 0.01, "Inconclusive"), (-0.05, 0.01, "Inconclusive")],
)
def test_non_inferior_holds_the_interval_against_minus_the_margin(low: float, high: float, expected: str) -> None:
    assert outcome(replace(METRIC, difference=(low + high) / 2, low=low, high=high)) == expected


@pytest.mark.parametrize(("low", "high", "expected"), [(0.03, 0.09, "Passed"), (-0.02, 0.01, "Failed"), (0.01, 0.05, "Inconclusive")])
def test_superior_holds_it_against_the_improvement(low: float, high: float, expected: str) -> None:
    assert outcome(replace(METRIC, low=low, high=high), mode="Superior", minImprovement="2%") == expected


def test_the_margin_of_the_spec_counts() -> None:
    assert outcome(replace(METRIC, low=-0.08, high=0.0), margin="10%") == "Passed"


@pytest.mark.parametrize(
    "changes",
    [
        {"questions": 99},
        {"low": math.nan},
        {"difference": math.inf},
        {"judged_stable": 0.80, "judged_candidate": 0.74},
        {"errors_stable": 5},
        {"name": "MRR"},
    ],
    ids=["too few questions", "no number", "stable finds nothing", "the pool favours stable", "stable did not answer", "another metric"],
)
def test_what_cannot_be_trusted_neither_passes_nor_fails(changes: dict[str, Any]) -> None:
    assert outcome(replace(METRIC, **changes)) == "Inconclusive"


def test_a_small_gap_in_judgements_is_no_reason() -> None:
    assert outcome(replace(METRIC, judged_stable=0.80, judged_candidate=0.75)) == "Passed"


def test_a_candidate_that_does_not_answer_fails() -> None:
    assert outcome(replace(METRIC, errors_candidate=60)) == "Failed"
    assert outcome(replace(METRIC, errors_candidate=4)) == "Inconclusive"


def test_an_evaluation_without_numbers_says_why() -> None:
    gate = gates.judge(EvaluationReading("a", "b", error="no such key"), evaluation())
    assert gate is not None
    assert (gate.outcome, "no such key" in gate.message) == ("Inconclusive", True)
    assert gates.judge(EvaluationReading("a", "b", running=True), evaluation()) is None


@pytest.mark.parametrize(("recall", "expected"), [(0.99, "Passed"), (0.95, "Passed"), (0.94, "Failed"), (math.nan, "Inconclusive")])
def test_a_new_layout_is_held_against_exact_search(recall: float, expected: str) -> None:
    gate = gates.judge(EvaluationReading("a", "b", layout_recall=recall), evaluation())
    assert gate is not None
    assert (gate.outcome, gate.numbers) == (expected, {"layoutRecall": pytest.approx(recall, nan_ok=True)})


def test_the_numbers_that_decide_are_kept() -> None:
    gate = gates.judge(EvaluationReading("a", "b", metrics=(METRIC, replace(METRIC, name="Recall@10"))), evaluation())
    assert gate is not None
    assert {"metric", "stable", "candidate", "difference", "low", "high", "questions", "Recall@10 candidate"} <= set(gate.numbers)


def test_a_change_outside_retrieval_is_left_to_the_online_gate() -> None:
    assert gates.not_applicable(A, A)
    assert not gates.not_applicable(A, B)
    assert not gates.not_applicable(A, revision("a", top_k=20))


def test_only_a_layout_that_changed_is_measured_by_recall() -> None:
    assert gates.layout_only(A, revision("a", shards=4))
    assert not gates.layout_only(A, B)
    assert not gates.layout_only(A, revision("a", top_k=20))


def test_another_question_is_another_evaluation() -> None:
    assert gates.policy_digest(evaluation()) != gates.policy_digest(evaluation(metric="MRR"))
    assert gates.policy_digest(None) == ""


@given(low=st.floats(-1, 1), width=st.floats(0, 0.5), margin=st.integers(1, 50))
def test_what_passes_is_never_worse_than_the_margin_anywhere_in_its_interval(low: float, width: float, margin: int) -> None:
    result = outcome(replace(METRIC, difference=low + width / 2, low=low, high=low + width), margin=f"{margin}%")
    assert (result == "Passed") == (low > -margin / 100)
    assert result != "Failed" or low + width < -margin / 100
