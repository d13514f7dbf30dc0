"""What decided a rollout stays in the status's history, with its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.health import watched


def told(story: str) -> list[dict[str, Any]]:
    """The status at every moment of a story."""
    return [seen["status"] for seen in watched(story)]


@pytest.mark.parametrize(
    ("story", "outcome", "reason", "numbers"),
    [
        ("happy_canary", "Promoted", "RolloutPromoted", {"stable": 0.32, "candidate": 0.50, "low": 0.45, "high": 0.66}),
        ("evaluation_fails", "Aborted", "EvaluationFailed", {"stable": 0.50, "candidate": 0.28, "low": -0.52, "high": -0.36}),
    ],
)
def test_the_history_holds_the_numbers_that_decided(story: str, outcome: str, reason: str, numbers: dict[str, float]) -> None:
    decision, first = told(story)[-1]["decisions"]
    assert (decision["outcome"], decision["reason"]) == (outcome, reason)
    kept = {name.removeprefix("evaluation "): value for name, value in decision["numbers"].items()}
    assert {name: kept.get(name) for name in (*numbers, "questions")} == {**numbers, "questions": 225}
    assert first["outcome"] == "Promoted"
    assert "numbers" not in first  # the first revision has nothing to be compared with


def test_the_numbers_of_the_traffic_that_decided_are_there_beside_the_evaluations() -> None:
    decision = told("live_traffic_fails")[-1]["decisions"][0]
    assert (decision["outcome"], decision["reason"]) == ("Aborted", "AnalysisFailed")
    assert {name.split()[0] for name in decision["numbers"]} == {"analysis"}


def test_a_gate_is_shown_with_its_numbers_while_the_rollout_runs() -> None:
    gates = [status["gate"] for status in told("happy_canary") if "gate" in status]
    shown = {(gate["name"], gate["result"], gate["stable"], gate["candidate"], gate["samples"]) for gate in gates}
    assert shown == {("Evaluation", "Passed", 0.32, 0.5, 225)}


def test_the_gate_of_live_traffic_says_how_many_requests_it_rests_on() -> None:
    story = told("canary_with_approval_and_live_analysis")
    gates = [status["gate"] for status in story if status.get("gate", {}).get("name") == "Analysis"]
    assert gates
    assert all(gate["samples"] == gate["numbers"]["requests candidate"] for gate in gates)
