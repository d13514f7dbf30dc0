"""From what was seen to the values that the planner, the builders and the status take. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import ValidationError

from rag_operator import names
from rag_operator.api.v1alpha1.index_status import EvaluationResult, RAGIndexStatus
from rag_operator.controller import analysis, mounts, pods
from rag_operator.controller.components import View
from rag_operator.controller.index_state import index_status
from rag_operator.controller.observe import Seen
from rag_operator.desired import jobs, revision_record
from rag_operator.desired.context import Owner
from rag_operator.kube.child import Child, Children
from rag_operator.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, INDEXES, JOBS
from rag_operator.model.observed import AnalysisReading, EvaluationReading, MetricReading, Observed, TableState
from rag_operator.model.plan import EvaluationIntent, Rollout
from rag_operator.model.revision import Revision
from rag_operator.rollout import gates
from rag_runtime.contracts.routing import TABLE_KEY, RoutingTable

# Seconds in which the result of an evaluation must follow its Job's end: the two come by different watches.
RESULT_FOLLOWS: Final = 30.0

log = logging.getLogger(__name__)


def owner(seen: Seen) -> Owner:
    """The pipeline as its children know it."""
    return Owner(seen.key.name, seen.key.namespace, seen.uid)


def records(children: Children) -> dict[str, Revision]:
    """Recorded revisions by name. One that cannot be read counts as lost, and is said."""
    found = {}
    for (kind, name), child in children.items():
        if kind != CONTROLLER_REVISIONS.kind or child.deleting:
            continue
        try:
            revision = revision_record.revision({"metadata": {"name": name, "annotations": child.annotations}, **child.body()})
        except revision_record.UnreadableRecordError as error:
            log.warning("%s", error)
            continue
        found[revision.name] = revision
    return found


def stored_table(seen: Seen) -> tuple[TableState, RoutingTable] | None:
    """The routing table as it is stored, or `None` when there is none that can be read."""
    child = seen.children.get((CONFIG_MAPS.kind, names.routing_table(seen.key.name)))
    text = (child.body().get("data") or {}).get(TABLE_KEY) if child is not None else None
    if child is None or text is None:
        return None
    try:
        table = RoutingTable.from_json(text)
    except ValidationError:
        return None
    weights = {route.revision: route.weight for route in table.routes}
    return TableState(table.epoch, weights, table.salt, str(child.version)), table


def observed(seen: Seen, revisions: Mapping[str, Revision], wanted: Revision | None, baselines: analysis.Baselines, now: float) -> Observed:
    """Everything the planner decides by, beside spec and record."""
    stable = revisions.get(seen.record.stable or "")
    known = [*revisions.values(), *([wanted] if wanted is not None and wanted.name not in revisions else [])]
    table = stored_table(seen)
    view = View(known, seen.children, seen.slow, stable, table[0].weights if table is not None else {})
    indexes = {revision.index.name for revision in revisions.values()}
    reading, live = seen.gateways, _analysis(seen, baselines)
    return Observed(
        components=view.states(),
        pairs=view.pairs(),
        revisions=dict(revisions),
        table=table[0] if table is not None else None,
        gateways=reading.pods if reading is not None else (),
        gateways_known=reading is not None,
        evaluation=evaluation(seen, revisions, now),
        analysis=live,
        analysis_heard=baselines.heard(_step(seen.uid, seen.record.rollout)) if seen.record.rollout is not None else 0.0,
        verbs=seen.verbs,
        unmounted=mounts.unmounted(seen.children, known, table[1] if table is not None else None),
        adopted_indexes=tuple(sorted(name for kind, name in seen.children if kind == INDEXES.kind and name not in indexes)),
    )


def index_statuses(children: Children) -> dict[str, RAGIndexStatus]:
    """What indexers reported, by index."""
    found = {name: index_status(name, children) for kind, name in children if kind == INDEXES.kind}
    return {name: status for name, status in found.items() if status is not None}


def evaluation(seen: Seen, revisions: Mapping[str, Revision], now: float) -> EvaluationReading | None:
    """How the evaluation that the record asks for stands; `None` when it was not begun."""
    record = seen.record
    candidate = revisions.get(record.rollout.candidate) if record.rollout is not None else None
    if candidate is None or record.rollout is None or record.stable is None:
        return None
    intent = EvaluationIntent(record.stable, candidate.name, record.rollout.evaluation_attempt, began=record.rollout.started)
    stable = revisions.get(record.stable)
    name = jobs.evaluation_job_name(seen.key.name, intent)
    result = _result(name, candidate, seen.children)
    job = seen.children.get((JOBS.kind, name))
    if result is None:
        return _without_result(intent, job, seen.children, now) if job is not None else None
    return _reading(intent, result, exact=stable is not None and gates.layout_only(stable, candidate))


def results_due(children: Children, now: float) -> Iterator[float]:
    """Seconds until the results of evaluations that just ended must be there."""
    for child in children.values():
        if child.kind == JOBS.kind and child.labels.get(names.LABEL_KIND) == names.KIND_EVALUATION:
            wait = _result_due(child, now)
            if wait is not None and wait > 0:
                yield wait


def _without_result(intent: EvaluationIntent, job: Child, children: Children, now: float) -> EvaluationReading:
    failed, wait = pods.job_failed(job.name, children), _result_due(job, now)
    # Told to an index that was made anew since, for example: nobody will tell it again.
    lost = "the evaluation ended, but its result is not there" if wait is not None and wait <= 0 else ""
    error = failed or lost
    return EvaluationReading(intent.stable, intent.candidate, intent.attempt, running=not error, error=error)


def _result_due(job: Child, now: float) -> float | None:
    ended = pods.job_ended_at(job)
    return RESULT_FOLLOWS - (now - ended) if ended is not None else None


def _result(name: str, candidate: Revision, children: Children) -> EvaluationResult | None:
    status = index_status(candidate.index.name, children)
    return next((found for found in status.evaluations if found.id == name), None) if status is not None else None


def _reading(intent: EvaluationIntent, result: EvaluationResult, *, exact: bool) -> EvaluationReading:
    numbers = (result.mean_stable, result.mean_candidate, result.difference, result.low, result.high)
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return EvaluationReading(intent.stable, intent.candidate, intent.attempt, error=result.message or "the evaluation gave no numbers")
    primary = MetricReading(
        name=result.metric,
        stable=known[0],
        candidate=known[1],
        difference=known[2],
        low=known[3],
        high=known[4],
        questions=result.questions,
        judged_stable=1.0 if result.judged_stable is None else result.judged_stable,
        judged_candidate=1.0 if result.judged_candidate is None else result.judged_candidate,
        errors_stable=result.errors_stable,
        errors_candidate=result.errors_candidate,
    )
    return EvaluationReading(
        stable=intent.stable,
        candidate=intent.candidate,
        attempt=intent.attempt,
        metrics=(primary,),
        layout_recall=result.mean_candidate if exact else None,
    )


def _analysis(seen: Seen, baselines: analysis.Baselines) -> AnalysisReading | None:
    rollout, stable = seen.record.rollout, seen.record.stable
    if rollout is None or stable is None:
        return None
    return baselines.read(_step(seen.uid, rollout), seen.gateways, stable, rollout.candidate)


def _step(uid: str, rollout: Rollout) -> tuple[str, str, float]:
    return uid, rollout.candidate, rollout.weight_since
