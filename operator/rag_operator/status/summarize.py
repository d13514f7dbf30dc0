"""The status of a pipeline: the phase in one word, the reason in one sentence, stable and candidate side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from rag_operator import names
from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.generator import ExternalGenerator, Vllm
from rag_operator.api.v1alpha1.status import (
    CandidateStatus,
    Condition,
    Decision,
    Freshness,
    Gate,
    LeavingStatus,
    Phase,
    RAGPipelineStatus,
    Rejected,
    RetiredStatus,
    Serving,
    Verb,
)
from rag_operator.model import codec, plan
from rag_operator.model.revision import Revision
from rag_operator.status import conditions
from rag_operator.status.freshness import freshness
from rag_operator.status.situation import Situation

_LONGEST: Final = 1000
_SHOWN: Final = 16  # revisions that leave: while a gateway holds them all, every change of the spec adds one
_INDEX_STAGES: Final = frozenset({"Building", "CatchingUp", "Loading", "Indexing", "Unverified"})
_SAMPLES: Final = ("questions", "requests candidate")  # what an evaluation and an analysis rest on
_GATES: Final = {"evaluation": "Evaluation", "analysis": "Analysis"}


def summarize(situation: Situation) -> RAGPipelineStatus:
    """The whole status. The same situation gives the same status, so that it is written only when something changed."""
    found = conditions.conditions(situation)
    phase = phase_of(situation, found)
    record, rollout = situation.record, situation.record.rollout
    return RAGPipelineStatus(
        observed_generation=situation.generation,
        phase=phase,
        message=message_of(situation, found, phase)[:_LONGEST],
        stable=_stable(situation),
        candidate=_candidate(situation),
        retired=_retired(situation),
        leaving=tuple(
            LeavingStatus(revision=one.revision, idle_at=_time(one.idle_at), why=one.why[:_LONGEST]) for one in record.leaving[-_SHOWN:]
        ),
        traffic=_traffic(situation),
        step=_step(situation),
        gate=_gate(rollout.gates[-1]) if rollout is not None and rollout.gates else None,
        documents=_documents(situation, situation.serving),
        freshness=_freshness(situation),
        endpoint=situation.endpoint,
        epoch=record.epoch,
        salt=situation.observed.table.salt if situation.observed.table is not None else None,
        reason=_reason(found),
        upgrade_available=situation.upgrade,
        rejected=tuple(Rejected(revision=name) for name in record.rejected),
        decisions=tuple(_decision(one) for one in record.decisions if one.what in _OUTCOMES),
        verbs=_verbs(record),
        record=codec.dumps(record),
        conditions=found,
    )


def phase_of(situation: Situation, found: tuple[Condition, ...]) -> Phase:
    """Where the pipeline is, in one word; docs/operations.md has the table."""
    said = {condition.type: condition.status for condition in found}
    if situation.suspended:
        return "Suspended"
    if situation.stable is None:
        if said[conditions.STALLED] == "True":
            return "Failed"
        index = situation.state("index")
        return "Indexing" if index is not None and index.exists and index.reason in _INDEX_STAGES else "Pending"
    if said[conditions.STALLED] == "True":
        return "Degraded"
    if said[conditions.READY] == "False":
        # Nothing is lost that was never there: the gateways are about to get their first table.
        return "Pending" if situation.before.phase in (None, "Pending", "Indexing") else "Degraded"
    if situation.record.rollout is not None:
        return "RollingOut"
    if situation.unfinished and situation.unfinished[0].lasting:
        return "Degraded"
    return "Degraded" if said[conditions.READY] != "True" else "Ready"


def message_of(situation: Situation, found: tuple[Condition, ...], phase: Phase) -> str:
    """Why the pipeline is in this phase, in one sentence."""
    said = {condition.type: condition for condition in found}
    if said[conditions.STALLED].status == "True":
        return said[conditions.STALLED].message
    if situation.failure is not None:
        return situation.failure.message
    if situation.plan is not None and situation.plan.blocked:
        return situation.plan.blocked[0]
    if situation.record.rollout is not None and situation.stable is not None:
        rollout = situation.record.rollout
        if rollout.back:
            return f"going back to revision {rollout.candidate}, which was cold: {rollout.held or 'its pods start'}"
        return rollout.held or f"revision {rollout.candidate} is being rolled out"
    if situation.unfinished and said[conditions.READY].status == "True":
        return situation.unfinished[0].message
    if phase == "Ready":
        fresh = said[conditions.INDEX_FRESH]
        return fresh.message if fresh.status == "False" else "questions are answered"
    return said[conditions.READY].message


_OUTCOMES: Final = frozenset({"Promoted", "Aborted", "Superseded", "Reverted", "RolledBack"})


def _reason(found: tuple[Condition, ...]) -> str:
    said = {condition.type: condition for condition in found}
    for kind, status in ((conditions.STALLED, "True"), (conditions.RECONCILING, "True"), (conditions.READY, "False")):
        if said[kind].status == status and said[kind].reason:
            shown = said[conditions.READY] if kind == conditions.RECONCILING and said[conditions.READY].status == "False" else said[kind]
            return shown.reason
    return said[conditions.INDEX_FRESH].reason if said[conditions.INDEX_FRESH].status == "False" else said[conditions.READY].reason


def _stable(situation: Situation) -> Serving | None:
    name = situation.record.stable
    if name is None:
        return None
    before = situation.before.stable
    return Serving.model_validate(_serving(situation, name, before.since if before is not None and before.revision == name else None))


def _step(situation: Situation) -> str | None:
    """The column STEP. The first revision takes no steps: there is nothing to move traffic from."""
    rollout = situation.record.rollout
    if rollout is None or not rollout.steps or situation.record.stable is None:
        return None
    return f"{min(rollout.step + 1, rollout.steps)}/{rollout.steps}"


def _candidate(situation: Situation) -> CandidateStatus | None:
    rollout = situation.record.rollout
    if rollout is None:
        return None
    further = {
        "stage": rollout.phase,
        "started": _time(rollout.started),
        "step": rollout.step,
        "steps": rollout.steps,
        "step_since": _time(rollout.step_since) if rollout.step_since else None,
        "waiting_for": rollout.waiting_for,
        "approved": rollout.approved,
        "gates": tuple(_gate(gate) for gate in rollout.gates),
        "held": rollout.held[:_LONGEST],
    }
    return CandidateStatus.model_validate(_serving(situation, rollout.candidate, _time(rollout.started)) | further)


def _retired(situation: Situation) -> RetiredStatus | None:
    retired = situation.record.retired
    if retired is None:
        return None
    before = situation.before.retired if situation.before.retired and situation.before.retired.revision == retired.revision else None
    cold = before is not None and bool(before.cold)
    if situation.plan is not None:
        cold = any(keep.idle and (keep.role, keep.revision) == ("retired", retired.revision) for keep in situation.plan.keep)
    further = {"until": _time(retired.until), "floors": dict(retired.floors) or None, "cold": cold or None}
    return RetiredStatus.model_validate(_serving(situation, retired.revision, before.since if before else None) | further)


def _serving(situation: Situation, name: str, since: Timestamp | None) -> dict[str, object]:
    revision = situation.observed.revisions.get(name)
    weights = situation.observed.table.weights if situation.observed.table is not None else {}
    found: dict[str, object] = {"revision": name, "weight": weights.get(name, 0), "since": since or _time(situation.now)}
    if revision is None:
        return found
    generator = revision.spec.generator
    return found | {
        "embedder": revision.embedder.name,
        "index": revision.index.name,
        "generator": revision.generator.name if revision.generator is not None else None,
        "embedding_model": _embedding_model(revision),
        "generator_model": _generator_model(generator.chosen) if generator is not None else None,
        "documents": _documents(situation, revision),
    }


def _embedding_model(revision: Revision) -> str:
    model, version = revision.spec.embedder.chosen.declared
    return f"{model}@{version} ({revision.spec.embedder.chosen.dimensions})"


def _generator_model(chosen: Vllm | ExternalGenerator) -> str:
    return f"{chosen.model.name}@{chosen.model.revision}" if isinstance(chosen, Vllm) else chosen.model


def _documents(situation: Situation, revision: Revision | None) -> int | None:
    status = situation.indexes.get(revision.index.name) if revision is not None else None
    if status is None:
        return None
    return status.sync.documents if status.sync is not None else status.build.documents if status.build is not None else None


def _freshness(situation: Situation) -> Freshness | None:
    if situation.spec is None or situation.serving is None:
        return None
    return freshness(situation.spec.sources, situation.indexes.get(situation.serving.index.name), situation.now)


def _traffic(situation: Situation) -> str | None:
    table, record = situation.observed.table, situation.record
    if table is None or record.stable is None:
        return None
    shown = [record.stable, *([record.rollout.candidate] if record.rollout is not None else [])]
    return "/".join(str(table.weights.get(name, 0)) for name in shown)


def _gate(gate: plan.Gate) -> Gate:
    known = {key: gate.numbers[key] for key in ("metric", "stable", "candidate", "difference", "low", "high") if key in gate.numbers}
    samples = next((int(gate.numbers[key]) for key in _SAMPLES if key in gate.numbers), None)
    further = {key: float(value) for key, value in gate.numbers.items() if key not in known and isinstance(value, int | float)}
    said = {"name": _GATES[gate.name], "result": gate.outcome, "message": gate.message[:_LONGEST]}
    return Gate.model_validate(known | said | {"samples": samples, "numbers": further or None})


def _decision(decision: plan.Decision) -> Decision:
    numbers = {key: float(value) for key, value in decision.numbers.items() if isinstance(value, int | float)}
    said = {
        "time": _time(decision.when),
        "revision": decision.revision,
        "outcome": decision.what,
        "reason": decision.reason or decision.what,
        "message": decision.why[:_LONGEST],
        "numbers": numbers or None,
    }
    return Decision.model_validate(said)


def _verbs(record: plan.Record) -> tuple[Verb, ...]:
    return tuple(_verb(annotation, value, record.verbs_refused.get(annotation)) for annotation, value in sorted(record.verbs_done.items()))


def _verb(annotation: str, value: str, refused: str | None) -> Verb:
    name = annotation.removeprefix(f"{names.GROUP}/")
    result = "Done" if refused is None else "Refused"
    return Verb.model_validate({"name": name, "value": value[:512], "result": result, "message": (refused or "")[:_LONGEST]})


def _time(seconds: float) -> Timestamp:
    return Timestamp.at(datetime.fromtimestamp(seconds, UTC))
