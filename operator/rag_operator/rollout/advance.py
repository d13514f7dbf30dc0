"""The path of a candidate: one look at where it is, and the next move or the reason why it stays. Pure.

Provisioning → Indexing → CatchingUp → Evaluating → WarmingUp → Shifting (steps) → promoted

Each function below is one station. It returns a `Move` (the position changes), a `Hold` (it stays, and why) or `None` (go on to
the next station).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from rag_operator.model.observed import MISMATCH, ComponentState
from rag_operator.model.plan import Gate, Note, Record, Rollout, RolloutPhase
from rag_operator.rollout import analysis, gates, traffic, triggers
from rag_operator.rollout.bluegreen import has_gates, steps_of
from rag_operator.rollout.canary import WHOLE, SetWeight, Stage, Wait, goal, next_goal
from rag_operator.rollout.endings import abort, promote, roll_back
from rag_operator.rollout.replicas import floors, lacking, running
from rag_operator.rollout.situation import Move, Situation, describe, with_rollout
from rag_operator.rollout.verbs import FULL, approval, lapsed

PREPARING: Final[tuple[RolloutPhase, ...]] = ("Provisioning", "Indexing", "CatchingUp")
MAX_EVALUATIONS: Final = 3  # of one that was asked for: a Job whose node went away says nothing about the candidate


@dataclass(frozen=True)
class Hold:
    """The candidate stays where it is."""

    phase: RolloutPhase
    why: str
    waiting_for: str = ""  # what `promote` must name
    paused: bool = False  # the deadline does not run
    until: float | None = None  # when time alone ends it


Outcome = Move | Hold | None


def advance(situation: Situation, record: Record, rollout: Rollout) -> Move | Hold:
    """Return the next move of the candidate, or why it stays."""
    for station in STATIONS:
        outcome = station(situation, record, rollout)
        if outcome is not None:
            return outcome
    end = roll_back if rollout.back else promote
    return end(situation, record, rollout)


def _follow_policy(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    if rollout.back:
        return None
    policy = situation.policy
    asked, looked_at, steps = gates.policy_digest(policy.evaluation), gates.policy_digest(policy.analysis), steps_of(policy)
    if looked_at != rollout.analysis_policy:
        other = tuple(gate for gate in rollout.gates if gate.name != "analysis")
        approved = lapsed(rollout, "analysis")
        return Move(with_rollout(record, rollout, situation.now, analysis_policy=looked_at, gates=other, approved=approved))
    if asked != rollout.evaluation_policy:
        other = tuple(gate for gate in rollout.gates if gate.name != "evaluation")
        again = rollout.evaluation_attempt + 1
        anew = {"evaluation_policy": asked, "evaluation_attempt": again, "evaluation_first": again}
        return Move(with_rollout(record, rollout, situation.now, **anew, gates=other, approved=lapsed(rollout, "evaluation")))
    if len(steps) != rollout.steps:
        return Move(with_rollout(record, rollout, situation.now, steps=len(steps), step=_still_done(rollout, steps)))
    return None


def _still_done(rollout: Rollout, steps: tuple[Stage, ...]) -> int:
    # An edit that leaves fewer steps promotes nobody past an approval that nobody gave.
    awaited = (done for done, stage in enumerate(steps) if stage == Wait() and not approval(rollout, str(done + 1)))
    return rollout.step if rollout.step < len(steps) else next(awaited, len(steps))


def _not_broken(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    failed = triggers.broken(situation, record)
    if failed is None:
        return None
    if record.stable is None:
        return Hold(rollout.phase, describe(failed))
    return abort(situation, record, MISMATCH if failed.reason == MISMATCH else "ComponentFailed", describe(failed))


def _prepare(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    if rollout.phase not in PREPARING:
        return None
    revision = situation.revision(rollout.candidate)
    if revision is None:
        return Hold("Provisioning", f"revision {rollout.candidate} has no record")
    index, embedder = situation.part(revision.index), situation.part(revision.embedder)
    if index.collecting or not index.exists or not (embedder.ready or index.built):
        return Hold("Provisioning", describe(index if index.collecting or embedder.ready else embedder))
    if not index.built:
        return Hold("Indexing", describe(index))
    behind = _behind(situation, record, index)
    return Hold("CatchingUp", behind) if behind else None


def _behind(situation: Situation, record: Record, index: ComponentState) -> str:
    if not index.caught_up:
        return f"index {index.name} has not caught up" + (f": {index.message}" if index.message else "")
    stable = situation.revision(record.stable) if record.stable else None
    if stable is None:
        return ""
    allowed = situation.part(stable.index).failed_documents + situation.spec.documents.max_failed_documents
    if index.failed_documents <= allowed:
        return ""
    return f"index {index.name} could not hold {index.failed_documents} documents, allowed: {allowed}"


def _ready(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    why = situation.unready(rollout.candidate)
    if not why:
        return None
    # Whoever has caught up does so with each listing anew, as long as another part keeps it out of the table.
    return Hold("Provisioning" if rollout.phase in ("Provisioning", "Indexing") else rollout.phase, why)


def _first(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    if record.stable is not None:
        return None
    if record.adopted and not approval(rollout, "adoption"):
        why = "status was lost and indexes were found: somebody must say that this revision may serve"
        return Hold("WarmingUp", why, waiting_for="adoption", paused=True)
    return promote(situation, record, rollout)


def _evaluate(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    if not has_gates(situation.policy) or rollout.weight or approval(rollout, "evaluation"):
        return None
    gate = verdict(rollout, "evaluation") or _evaluation(situation, record, rollout)
    if isinstance(gate, Move | Hold):
        return gate
    if gate.outcome == "Failed":
        return abort(situation, record, "EvaluationFailed", gate.message)
    if gate.outcome == "Inconclusive":
        return Hold("Evaluating", gate.message, waiting_for="evaluation", paused=True)
    return None


def _evaluation(situation: Situation, record: Record, rollout: Rollout) -> Move | Hold:
    gate = _decided_without(situation, record, rollout)
    if gate is not None:
        return _decided(situation, record, rollout, gate)
    reading, policy = situation.observed.evaluation, situation.policy.evaluation
    asked = (record.stable, rollout.candidate, rollout.evaluation_attempt)
    if policy is None or reading is None or (reading.stable, reading.candidate, reading.attempt) != asked:
        return Hold("Evaluating", "the held-out questions are being asked")
    if reading.error and not reading.running and rollout.evaluation_attempt - rollout.evaluation_first < MAX_EVALUATIONS - 1:
        again = with_rollout(record, rollout, situation.now, evaluation_attempt=rollout.evaluation_attempt + 1)
        return Move(again, (Note("EvaluationRepeated", reading.error, warning=True),))
    gate = gates.judge(reading, policy)
    return _decided(situation, record, rollout, gate) if gate else Hold("Evaluating", "the held-out questions are being asked")


def _decided_without(situation: Situation, record: Record, rollout: Rollout) -> Gate | None:
    if situation.policy.evaluation is None:
        return Gate("evaluation", "NotApplicable", gates.UNCHECKED)
    stable = situation.revision(record.stable) if record.stable else None
    candidate = situation.revision(rollout.candidate)
    why = gates.not_applicable(stable, candidate) if stable and candidate else ""
    return Gate("evaluation", "NotApplicable", why) if why else None


def _decided(situation: Situation, record: Record, rollout: Rollout, gate: Gate) -> Move:
    others = tuple(other for other in rollout.gates if other.name != gate.name)
    what = f"{gate.name.capitalize()}{gate.outcome}"
    unchecked = gate.message == gates.UNCHECKED
    note = Note("RetrievalUnchecked" if unchecked else what, gate.message, warning=unchecked or gate.outcome in ("Failed", "Inconclusive"))
    return Move(with_rollout(record, rollout, situation.now, phase="Evaluating", gates=(*others, gate)), (note,))


def _warm_up(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    steps = steps_of(situation.policy)
    needed = floors(situation, rollout, record.stable, warming(rollout, steps))
    short = lacking(situation, needed)
    if short is None:
        return None
    why = f"{short.kind} {short.name} has {short.ready_replicas} of the {needed[short.name]} ready replicas that the next weight needs"
    return Hold("Shifting" if rollout.weight else "WarmingUp", why)


def warming(rollout: Rollout, steps: tuple[Stage, ...]) -> int:
    """Return the weight that the candidate must be large enough for."""
    return WHOLE if FULL in rollout.approved else next_goal(steps, rollout.step)


def _analyse(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    gate = _live(situation, rollout)
    if gate is None or gate.outcome != "Failed":
        return None
    return abort(situation, record, "AnalysisFailed", gate.message, gate)


def _live(situation: Situation, rollout: Rollout) -> Gate | None:
    policy, revision = situation.policy.analysis, situation.revision(rollout.candidate)
    if policy is None or revision is None or not 0 < rollout.weight < WHOLE or not has_gates(situation.policy) or FULL in rollout.approved:
        return None
    reading = situation.observed.analysis
    # An operator that was started again counts from then on only, and must not hold that against the candidate. Nor does a pause count
    # during which everything could be read, when once it cannot.
    began = reading.since if reading is not None else situation.observed.analysis_heard
    elapsed = situation.now - max(rollout.weight_since, began)
    return analysis.judge(reading, policy, elapsed, generates=revision.generator is not None)


def _shift(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    target = WHOLE if FULL in rollout.approved else goal(steps_of(situation.policy), rollout.step)
    if rollout.weight == target:
        return None
    # Also where the steps were edited under way: what comes now may be far above what was looked at.
    held = _passed(situation, record, rollout) if target > rollout.weight else None
    if held is not None:
        return held
    run = running(situation, record.stable, rollout.floors) if record.stable else {}
    left = tuple(gate for gate in rollout.gates if gate.name != "analysis")
    note = Note("WeightChanged", f"revision {rollout.candidate}: {rollout.weight} % → {target} %")
    now = situation.now
    return Move(with_rollout(record, rollout, now, phase="Shifting", weight=target, weight_since=now, floors=run, gates=left), (note,))


def _acknowledged(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    table = situation.observed.table
    if not rollout.weight:
        return None
    if table is None or table.weights.get(rollout.candidate) != rollout.weight:
        return Hold("Shifting", "the routing table is being written")
    missing = traffic.unacknowledged(situation.observed)
    return Hold("Shifting", f"not acknowledged by {', '.join(missing)}") if missing else None


def _step(situation: Situation, record: Record, rollout: Rollout) -> Outcome:
    steps = steps_of(situation.policy)
    if rollout.step >= len(steps) or FULL in rollout.approved:
        return None
    stage: Stage = steps[rollout.step]
    if isinstance(stage, Wait) and not rollout.step_since:
        # What comes before the first step, a build above all, is no part of its pause.
        return Move(with_rollout(record, rollout, situation.now, step_since=situation.now))
    phase: RolloutPhase = "Shifting" if rollout.weight else "WarmingUp"
    hold = _pause(situation, rollout, stage, phase) or _analysed(situation, record, rollout, steps)
    return hold or Move(with_rollout(record, rollout, situation.now, step=rollout.step + 1, step_since=situation.now, phase=phase))


def _pause(situation: Situation, rollout: Rollout, stage: Stage, phase: RolloutPhase) -> Hold | None:
    if isinstance(stage, SetWeight):
        return None
    if stage.seconds is not None:
        end = rollout.step_since + stage.seconds
        return Hold(phase, f"pausing at {rollout.weight} %", paused=True, until=end) if situation.now < end else None
    what = str(rollout.step + 1)
    return None if approval(rollout, what) else Hold(phase, f"waiting for approval at {rollout.weight} %", waiting_for=what, paused=True)


def _analysed(situation: Situation, record: Record, rollout: Rollout, steps: tuple[Stage, ...]) -> Move | Hold | None:
    # Leaving a weight needs the online gate's pass; staying at it does not.
    return None if goal(steps, rollout.step + 1) == rollout.weight else _passed(situation, record, rollout)


def _passed(situation: Situation, record: Record, rollout: Rollout) -> Move | Hold | None:
    if approval(rollout, "analysis"):
        return None
    gate = verdict(rollout, "analysis") or _live(situation, rollout)
    if gate is None or gate.outcome == "Passed":
        return None if gate is None or gate in rollout.gates else _decided_live(situation, record, rollout, gate)
    if gate.outcome == "Running":
        return Hold("Shifting", gate.message, paused=True)
    if gate not in rollout.gates:
        return _decided_live(situation, record, rollout, gate)
    return Hold("Shifting", gate.message, waiting_for="analysis", paused=True)


def _decided_live(situation: Situation, record: Record, rollout: Rollout, gate: Gate) -> Move:
    moved = _decided(situation, record, rollout, gate)
    assert moved.record.rollout is not None
    return replace(moved, record=replace(moved.record, rollout=replace(moved.record.rollout, phase="Shifting")))


def verdict(rollout: Rollout, name: str) -> Gate | None:
    """Return what a gate said about the present position."""
    return next((gate for gate in rollout.gates if gate.name == name), None)


STATIONS: Final[tuple[Callable[[Situation, Record, Rollout], Outcome], ...]] = (
    _follow_policy,
    _not_broken,
    _prepare,
    _ready,
    _first,
    _evaluate,
    _analyse,
    _warm_up,
    _shift,
    _acknowledged,
    _step,
)
