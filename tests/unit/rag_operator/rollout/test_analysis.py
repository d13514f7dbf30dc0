"""What the online gate makes of live traffic, and the statistics behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_operator.api.v1alpha1.rollout import Analysis
from rag_operator.model.observed import AnalysisReading, TrafficCounts
from rag_operator.rollout import analysis
from rag_operator.rollout.statistics import certain_excess, excess, wilson

GOOD = AnalysisReading(TrafficCounts(2000, 4, retrieval_p95=0.05), TrafficCounts(300, 1, retrieval_p95=0.06))
POLICY = Analysis.model_validate({"margin": "1%", "maxRetrievalP95": "200ms", "maxTimeToFirstTokenP95": "2s", "maxDuration": "1h"})


def outcome(reading: AnalysisReading | None, elapsed: float = 60, *, generates: bool = False) -> str:
    return analysis.judge(reading, POLICY, elapsed, generates=generates).outcome


def candidate(**changes: Any) -> AnalysisReading:
    return replace(GOOD, candidate=replace(GOOD.candidate, **changes))


def test_enough_traffic_within_the_limits_passes() -> None:
    assert outcome(GOOD) == "Passed"


@pytest.mark.parametrize("field", ["errors", "degraded", "empty"])
def test_more_errors_degraded_or_empty_answers_fail(field: str) -> None:
    assert outcome(candidate(**{field: 30})) == "Failed"


def test_a_difference_that_may_be_chance_extends_the_step_and_then_holds() -> None:
    unclear = candidate(errors=6)
    assert outcome(unclear) == "Running"
    assert outcome(unclear, elapsed=3601) == "Inconclusive"


def test_too_few_requests_extend_the_step_and_then_hold() -> None:
    few = candidate(requests=199, errors=0)
    assert outcome(few) == "Running"
    assert outcome(few, elapsed=3601) == "Inconclusive"


def test_a_candidate_that_answers_nothing_fails_early() -> None:
    assert outcome(candidate(requests=30, errors=30)) == "Failed"
    assert outcome(candidate(requests=29, errors=29)) == "Running"


@pytest.mark.parametrize(("p95", "expected"), [(0.2, "Passed"), (0.21, "Failed"), (None, "Running")])
def test_retrieval_must_be_fast_enough_and_known(p95: float | None, expected: str) -> None:
    assert outcome(candidate(retrieval_p95=p95)) == expected
    assert outcome(candidate(requests=199, retrieval_p95=p95)) == "Running"


def test_the_first_token_counts_only_where_one_is_generated() -> None:
    assert outcome(GOOD, generates=True) == "Running"
    assert outcome(candidate(first_token_p95=1.9), generates=True) == "Passed"
    assert outcome(candidate(first_token_p95=2.1), generates=True) == "Failed"


def test_what_cannot_be_read_is_never_a_pass() -> None:
    assert outcome(None) == "Running"
    assert outcome(None, elapsed=3601) == "Inconclusive"


def test_stable_that_fails_as_much_excuses_the_candidate() -> None:
    assert outcome(AnalysisReading(TrafficCounts(2000, 400), TrafficCounts(300, 60, retrieval_p95=0.1))) == "Passed"


def test_the_numbers_of_both_sides_are_kept() -> None:
    gate = analysis.judge(GOOD, POLICY, 60, generates=False)
    assert (gate.numbers["requests candidate"], gate.numbers["errors stable"]) == (300, 4)


def test_wilsons_interval_as_published() -> None:
    # Newcombe 1998, table I, 95 % of 81/263: 0.2553 to 0.3662; at 99 % it is wider.
    low, high = wilson(81, 263)
    assert (round(low, 3), round(high, 3)) == (0.240, 0.385)
    assert wilson(0, 0) == (0.0, 1.0)


@given(total=st.integers(1, 5000), other=st.integers(0, 5000), data=st.data())
def test_what_is_certain_is_never_more_than_what_was_seen(total: int, other: int, data: st.DataObject) -> None:
    counts = (data.draw(st.integers(0, total)), total, data.draw(st.integers(0, other)), other)
    assert certain_excess(*counts) <= excess(*counts) + 1e-12
    assert -1.000001 <= certain_excess(*counts) <= 1.0
