"""From replies to the report: means over the questions that both revisions answered, and how sure the difference is.

The report has the shape of `RAGIndex.status.evaluations[]`; keys without a number are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rag_indexer.evaluate.asking import Reply
from rag_indexer.evaluate.bootstrap import paired_difference
from rag_indexer.evaluate.metrics import Metric, judged, metric
from rag_indexer.evaluate.questions import Question

SHOWN = ("nDCG@10", "Recall@10", "MRR")  # beside the one that decides


def depth(primary: Metric) -> int:
    """How many documents to ask for, so that every metric of the report has its own k."""
    return max(primary.depth, *(metric(name).depth for name in SHOWN))


def report(
    questions: Sequence[Question],
    stable: tuple[str, Sequence[Reply[str]]],
    candidate: tuple[str, Sequence[Reply[str]]],
    primary: Metric,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare the replies of two revisions, each given as (name, replies in the order of `questions`)."""
    whole = [
        (question, one, two)
        for question, one, two in zip(questions, stable[1], candidate[1], strict=True)
        if not one.error and not two.error
    ]
    found: dict[str, Any] = {
        "stable": stable[0],
        "candidate": candidate[0],
        "metric": primary.name,
        "questions": len(whole),
        "errors": len(questions) - len(whole),
        "errorsStable": sum(bool(reply.error) for reply in stable[1]),
        "errorsCandidate": sum(bool(reply.error) for reply in candidate[1]),
    }
    if not whole:
        return {**found, "message": f"no question was answered by both; the first error: {_first_error(stable[1], candidate[1])}"}
    return {**found, **_decisive(whole, primary, seed), "metrics": _shown(whole, primary), **_message(stable[1], candidate[1])}


Answered = Sequence[tuple[Question, Reply[str], Reply[str]]]


def _decisive(whole: Answered, primary: Metric, seed: int) -> dict[str, Any]:
    ones = [primary.of(one.found, question.relevant) for question, one, _ in whole]
    twos = [primary.of(two.found, question.relevant) for question, _, two in whole]
    difference = paired_difference(ones, twos, seed)
    numbers = {
        "meanStable": _mean(ones),
        "meanCandidate": _mean(twos),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        **_judged(whole),
    }
    return {name: round(value, 6) for name, value in numbers.items() if math.isfinite(value)}


def _judged(whole: Answered) -> dict[str, float]:
    """judged@k of both. A set without a zero grade lists relevant documents only: there the share would be precision, so it is left out."""
    if not any(grade == 0 for question, _, _ in whole for grade in question.relevant.values()):
        return {}
    return {
        "judgedStable": _mean([judged(one.found, question.relevant) for question, one, _ in whole]),
        "judgedCandidate": _mean([judged(two.found, question.relevant) for question, _, two in whole]),
    }


def _shown(whole: Answered, primary: Metric) -> list[dict[str, Any]]:
    rows = [_row(name, *_both(whole, metric(name))) for name in SHOWN if name != primary.name]
    for title, share in (("latencyP50", 0.5), ("latencyP95", 0.95), ("latencyP99", 0.99)):
        ones, twos = [one.seconds for _, one, _ in whole], [two.seconds for _, _, two in whole]
        rows.append(_row(title, percentile(ones, share), percentile(twos, share)))
    return rows


def _both(whole: Answered, shown: Metric) -> tuple[float, float]:
    ones = _mean([shown.of(one.found, question.relevant) for question, one, _ in whole])
    return ones, _mean([shown.of(two.found, question.relevant) for question, _, two in whole])


def _row(name: str, stable: float, candidate: float) -> dict[str, Any]:
    return {"name": name, "stable": round(stable, 6), "candidate": round(candidate, 6)}


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of at least one value."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _message(stable: Sequence[Reply[str]], candidate: Sequence[Reply[str]]) -> dict[str, str]:
    error = _first_error(stable, candidate)
    return {"message": f"the first error: {error}"[:1024]} if error else {}


def _first_error(*replies: Sequence[Reply[str]]) -> str:
    return next((reply.error for row in replies for reply in row if reply.error), "")
