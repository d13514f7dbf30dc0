"""The online gate: live traffic of candidate and stable over the present weight. Pure.

A step passes when there is enough traffic and nothing is worse than allowed; it fails when something is worse with confidence.
Between the two it is extended, up to `maxDuration`. What cannot be read is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rag_operator.api.v1alpha1.rollout import Analysis
from rag_operator.model.observed import AnalysisReading, GateOutcome, TrafficCounts
from rag_operator.model.plan import Gate
from rag_operator.rollout.statistics import certain_excess, excess

DEFAULT_MARGIN: Final = 0.01
ENOUGH_TO_FAIL: Final = 30  # requests; a candidate that answers nothing need not do so two hundred times

SHARES: Final = (("errors", "errors"), ("degraded", "degraded answers"), ("empty", "empty retrievals"))


def judge(reading: AnalysisReading | None, analysis: Analysis, elapsed: float, *, generates: bool) -> Gate:
    """Return the verdict after `elapsed` seconds at the present weight; `Running` while it may still be reached."""
    if reading is None:
        return _undecided("the gateways' metrics cannot be read", analysis, elapsed)
    worse = _first_failure(reading, analysis, generates)
    if worse:
        return _gate("Failed", worse, reading)
    missing = _first_doubt(reading, analysis, generates)
    if missing:
        return _undecided(missing, analysis, elapsed, reading)
    return _gate("Passed", f"{reading.candidate.requests} requests, none of the limits is passed", reading)


def _first_failure(reading: AnalysisReading, analysis: Analysis, generates: bool) -> str:
    if reading.candidate.requests < min(ENOUGH_TO_FAIL, analysis.min_requests):
        return ""
    certain = next((what for what, _, lower in _shares(reading) if lower > _margin(analysis)), "")
    if certain:
        return f"the candidate has more {certain} than stable, by more than {_margin(analysis):.1%} with confidence"
    if reading.candidate.requests < analysis.min_requests:
        return ""
    slow = next(((what, limit, seen) for what, limit, seen in _latencies(reading, analysis, generates) if seen and seen > limit), None)
    return f"p95 of {slow[0]} is {slow[2]:.3f} s, allowed {slow[1]:.3f} s" if slow else ""


def _first_doubt(reading: AnalysisReading, analysis: Analysis, generates: bool) -> str:
    if reading.candidate.requests < analysis.min_requests:
        return f"the candidate has had fewer than {analysis.min_requests} requests at this weight"
    unclear = next((what for what, difference, _ in _shares(reading) if difference > _margin(analysis)), "")
    if unclear:
        return f"the candidate seems to have more {unclear} than stable, which too few requests show"
    unknown = next((what for what, _, seen in _latencies(reading, analysis, generates) if seen is None), "")
    return f"p95 of {unknown} cannot be read" if unknown else ""


def _shares(reading: AnalysisReading) -> Iterator[tuple[str, float, float]]:
    # What, the difference of the shares, and the difference that is certain.
    ours, theirs = reading.candidate, reading.stable
    for field, words in SHARES:
        counts = (getattr(ours, field), ours.requests, getattr(theirs, field), theirs.requests)
        yield words, excess(*counts), certain_excess(*counts)


def _latencies(reading: AnalysisReading, analysis: Analysis, generates: bool) -> Iterator[tuple[str, float, float | None]]:
    if analysis.max_retrieval_p95 is not None:
        yield "retrieval", analysis.max_retrieval_p95.seconds, reading.candidate.retrieval_p95
    if analysis.max_time_to_first_token_p95 is not None and generates:
        yield "the time to the first token", analysis.max_time_to_first_token_p95.seconds, reading.candidate.first_token_p95


def _margin(analysis: Analysis) -> float:
    return analysis.margin.fraction if analysis.margin else DEFAULT_MARGIN


def _undecided(why: str, analysis: Analysis, elapsed: float, reading: AnalysisReading | None = None) -> Gate:
    if elapsed < analysis.max_duration.seconds:
        return Gate("analysis", "Running", why)
    return _gate("Inconclusive", f"after {analysis.max_duration}: {why}", reading)


def _gate(outcome: GateOutcome, message: str, reading: AnalysisReading | None) -> Gate:
    sides = (("stable", reading.stable), ("candidate", reading.candidate)) if reading else ()
    numbers = {f"{name} {side}": value for side, counts in sides for name, value in _counts(counts)}
    return Gate("analysis", outcome, message, numbers)


def _counts(counts: TrafficCounts) -> Iterator[tuple[str, float]]:
    for name in ("requests", "errors", "degraded", "empty"):
        yield name, getattr(counts, name)
    for name, seconds in (("retrievalP95", counts.retrieval_p95), ("firstTokenP95", counts.first_token_p95)):
        if seconds is not None:
            yield name, seconds
