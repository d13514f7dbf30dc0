"""What evaluations and live traffic report in the simulated cluster."""

from __future__ import annotations

from rag_operator.model.observed import AnalysisReading, EvaluationReading, MetricReading, TrafficCounts

REQUESTS_PER_SECOND = 5.0

READINGS: dict[str, tuple[float, float, float, float, float, int]] = {
    # stable, candidate, difference, low, high, questions
    "better": (0.32, 0.50, 0.56, 0.45, 0.66, 225),
    "worse": (0.50, 0.28, -0.44, -0.52, -0.36, 225),
    "unclear": (0.50, 0.48, -0.04, -0.09, 0.01, 225),
    "small": (0.50, 0.52, 0.04, -0.02, 0.10, 40),
}


def reading(asked: tuple[str, str, int], what: str) -> EvaluationReading:
    """Return what an evaluation reports."""
    stable, candidate, attempt = asked
    if what == "unreadable":
        return EvaluationReading(stable, candidate, attempt, error="questions/set.jsonl: no such key")
    if what == "lost" and attempt == 1:
        return EvaluationReading(stable, candidate, attempt, error="the evaluation ended, but its result is not there")
    values = READINGS["better" if what == "lost" else what]
    return EvaluationReading(stable, candidate, attempt, metrics=(MetricReading("nDCG@10", *values),))


def traffic(seconds: float, weight: int, *, troubled: bool) -> AnalysisReading:
    """Return the live traffic of both sides over some time; `weight` is the candidate's, one in five answers of a troubled one fails."""
    total = REQUESTS_PER_SECOND * seconds
    ours, theirs = int(total * weight / 100), int(total * (1 - weight / 100))
    return AnalysisReading(TrafficCounts(theirs, 0), TrafficCounts(ours, int(ours * 0.2) if troubled else 0))
