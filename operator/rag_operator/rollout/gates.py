"""The offline gate: what the numbers of an evaluation mean. Three ways: Passed, Failed, Inconclusive. Pure.

Numbers that are missing, cannot be read or rest on too little never pass. The interval of the paired difference decides, not
the difference: at the usual number of questions a few percent are chance.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any, Final

from rag_operator.api.v1alpha1.rollout import Analysis, Evaluation
from rag_operator.model.observed import EvaluationReading, GateOutcome, MetricReading
from rag_operator.model.plan import Gate
from rag_operator.model.revision import Revision
from rag_operator.rollout.statistics import certain_excess

DEFAULT_MARGIN: Final = 0.05
DEFAULT_IMPROVEMENT: Final = 0.02
MAX_JUDGED_GAP: Final = 0.05  # beyond it the judgements, not the models, make the difference
MAX_UNANSWERED: Final = 0.01  # share of the questions; beyond it stable was not measured

UNCHECKED: Final = "no evaluation is configured: retrieval quality goes unchecked"

Verdict = tuple[GateOutcome, str]


def not_applicable(stable: Revision, candidate: Revision) -> str:
    """Return why retrieval metrics cannot tell two revisions apart; empty when they can."""
    if _retrieval(stable) != _retrieval(candidate):
        return ""
    return "retrieval is unchanged: only what is made of the passages differs, which the online gate looks at"


def layout_only(stable: Revision, candidate: Revision) -> bool:
    """Whether both hold the same vectors in another layout: then recall against exact search decides."""
    same_vectors = _content(stable) == _content(candidate)
    return same_vectors and stable.index.digest != candidate.index.digest and stable.embedder.digest == candidate.embedder.digest


def policy_digest(policy: Evaluation | Analysis | None) -> str:
    """Return what a gate was asked; with another digest it is asked again."""
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()[:16] if policy else ""


def judge(reading: EvaluationReading, evaluation: Evaluation) -> Gate | None:
    """Return the verdict on finished numbers, `None` while they are being made."""
    if reading.running:
        return None
    outcome, message = _verdict(reading, evaluation)
    return Gate("evaluation", outcome, message, _numbers(reading, evaluation))


def _verdict(reading: EvaluationReading, evaluation: Evaluation) -> Verdict:
    if reading.error:
        return "Inconclusive", f"the evaluation has no numbers: {reading.error}"
    if reading.layout_recall is not None:
        return _recall(reading.layout_recall, evaluation)
    if not reading.metrics or reading.metrics[0].name != evaluation.metric:
        return "Inconclusive", f"the evaluation reported no {evaluation.metric}"
    metric = reading.metrics[0]
    doubts: tuple[Callable[[MetricReading, Evaluation], str], ...] = (_unreadable, _too_few, _stable_unanswered)
    doubt = next((found for check in doubts if (found := check(metric, evaluation))), "")
    if doubt:
        return "Inconclusive", doubt
    return _candidate_unanswered(metric) or _judgements(metric) or _compare(metric, evaluation)


def _unreadable(metric: MetricReading, evaluation: Evaluation) -> str:
    numbers = (metric.stable, metric.candidate, metric.difference, metric.low, metric.high)
    return "" if all(map(math.isfinite, numbers)) else f"{metric.name} is not a number: stable answers nothing that counts as relevant"


def _too_few(metric: MetricReading, evaluation: Evaluation) -> str:
    if metric.questions >= evaluation.min_questions:
        return ""
    return f"{metric.questions} questions were asked, minQuestions is {evaluation.min_questions}"


def _stable_unanswered(metric: MetricReading, evaluation: Evaluation) -> str:
    if metric.errors_stable <= MAX_UNANSWERED * metric.questions:
        return ""
    return f"stable left {metric.errors_stable} of {metric.questions} questions unanswered: there is nothing to compare with"


def _candidate_unanswered(metric: MetricReading) -> Verdict | None:
    if metric.errors_candidate <= MAX_UNANSWERED * metric.questions:
        return None
    excess = certain_excess(metric.errors_candidate, metric.questions, metric.errors_stable, metric.questions)
    outcome: GateOutcome = "Failed" if excess > MAX_UNANSWERED else "Inconclusive"
    return outcome, f"the candidate left {metric.errors_candidate} of {metric.questions} questions unanswered"


def _judgements(metric: MetricReading) -> Verdict | None:
    gap = metric.judged_stable - metric.judged_candidate
    if gap <= MAX_JUDGED_GAP + 1e-9:  # 0.80 - 0.75 is not 0.05 in floating point
        return None
    return "Inconclusive", (
        f"of the candidate's first ten results {metric.judged_candidate:.0%} are judged, of stable's {metric.judged_stable:.0%}: "
        "the question set favours stable"
    )


def _compare(metric: MetricReading, evaluation: Evaluation) -> Verdict:
    bar = _bar(evaluation)
    shown = (
        f"{metric.name} {metric.stable:.3f} → {metric.candidate:.3f}, {metric.difference:+.1%} "
        f"(95 % interval {metric.low:+.1%} to {metric.high:+.1%}, {metric.questions} questions), allowed above {bar:+.1%}"
    )
    if metric.low > bar:
        return "Passed", shown
    if metric.high < bar:
        return "Failed", shown
    return "Inconclusive", f"{shown}: this set shows differences of {(metric.high - metric.low) / 2:.1%} or more"


def _bar(evaluation: Evaluation) -> float:
    # The difference that the interval is held against, as a share of stable's mean.
    if evaluation.mode == "Superior":
        return evaluation.min_improvement.fraction if evaluation.min_improvement else DEFAULT_IMPROVEMENT
    return -_margin(evaluation)


def _margin(evaluation: Evaluation) -> float:
    return evaluation.margin.fraction if evaluation.margin else DEFAULT_MARGIN


def _recall(recall: float, evaluation: Evaluation) -> Verdict:
    needed = 1 - _margin(evaluation)
    shown = f"the new layout finds {recall:.1%} of what exact search finds, allowed from {needed:.1%}"
    return ("Passed" if recall >= needed else "Failed" if recall < needed else "Inconclusive"), shown


def _numbers(reading: EvaluationReading, evaluation: Evaluation) -> dict[str, Any]:
    if reading.layout_recall is not None:
        return {"layoutRecall": reading.layout_recall}
    shown = {f"{metric.name} {side}": getattr(metric, side) for metric in reading.metrics[1:] for side in ("stable", "candidate")}
    if not reading.metrics:
        return shown
    first = reading.metrics[0]
    own = {name: getattr(first, name) for name in ("stable", "candidate", "difference", "low", "high", "questions")}
    judged = {"judgedStable": first.judged_stable, "judgedCandidate": first.judged_candidate}
    errors = {"errorsStable": first.errors_stable, "errorsCandidate": first.errors_candidate}
    return {"metric": first.name, **own, **judged, **errors, **shown}


def _content(revision: Revision) -> dict[str, Any]:
    return {path: value for path, value in revision.index.inputs.items() if not path.startswith("vectorStore.")}


def _retrieval(revision: Revision) -> tuple[object, ...]:
    spec = revision.spec
    chosen = spec.embedder.chosen
    search = spec.vector_store.milvus.search
    return (revision.embedder.digest, revision.index.digest, chosen.query_prefix, search, spec.retrieval)
