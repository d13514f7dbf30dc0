"""The planner: from what is wanted, seen and remembered to what is to be done now. Pure.

A pass either changes the position (stable, candidate, its step, who leaves, what was approved) or acts on the recorded one. A
changed position is only returned, to be recorded; the next pass acts on it. So whatever a crash cuts off, the record says what was
meant before anything was done about it, and every action can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.observed import Observed
from rag_operator.model.plan import EvaluationIntent, Keep, Leaving, Note, Plan, Record, Rollout, Settling
from rag_operator.model.revision import Revision
from rag_operator.rollout import endings, gates, traffic, triggers, verbs
from rag_operator.rollout.advance import Hold, advance, verdict, warming
from rag_operator.rollout.bluegreen import has_gates, steps_of
from rag_operator.rollout.cold import is_cold
from rag_operator.rollout.collect import collection, left, routed_away, sleeps
from rag_operator.rollout.replicas import floors, highest, settling
from rag_operator.rollout.situation import Move, Situation

AT_ONCE: Final = 0.0
ACKNOWLEDGEMENT: Final = (1.0, 15.0)  # seconds between looks at gateways that do not tell by themselves: at first, and in the end
LIVE_TRAFFIC: Final = 10.0  # seconds between looks at the metrics of live traffic
BLOCKED: Final = 10.0  # seconds between tries to collect


def plan(spec: RAGPipelineSpec, wanted: Revision | None, observed: Observed, record: Record, now: float) -> Plan:
    """Return what is to be done and recorded.

    `wanted` is what the spec resolves to, `None` while that cannot be said: then nothing new begins. `now` is in seconds since
    the epoch.
    """
    situation = Situation(spec, wanted, observed, now)
    known = _noticed(situation, record)
    if spec.suspend:
        return _suspended(situation, known)
    moved = _next_move(situation, known)
    if isinstance(moved, Move):
        return Plan(moved.record, keep(situation, moved.record), notes=moved.notes, requeue_after=AT_ONCE, moved=True)
    held, notes = _held(situation, known, moved)
    return _act(situation, held, notes, moved)


def _noticed(situation: Situation, record: Record) -> Record:
    # A clock that was set back must not make anybody wait until it has caught up.
    now, policy, retired = situation.now, situation.policy, record.retired
    record = replace(record, settling=_settled(situation, record))
    if record.rollout is not None:
        record = replace(record, rollout=_seen(situation, record.rollout, record.stable))
    latest = now + policy.abort_delay.seconds
    if retired is not None:
        until, idle_at = min(retired.until, now + policy.rollback.window.seconds), min(retired.idle_at, latest)
        record = replace(record, retired=replace(retired, until=until, idle_at=idle_at))
    if any(entry.idle_at > latest for entry in record.leaving):
        leaving = tuple(replace(entry, idle_at=min(entry.idle_at, latest)) for entry in record.leaving)
        record = replace(record, leaving=leaving)
    epoch = situation.observed.table.epoch if situation.observed.table else 0
    return replace(record, epoch=epoch) if epoch > record.epoch else record


def _settled(situation: Situation, record: Record) -> Settling | None:
    present = record.settling
    if present is None or situation.now >= present.until:
        return None
    latest = settling(situation, record.stable, present.floors)
    return latest if present.until > latest.until else present


def _seen(situation: Situation, rollout: Rollout, stable: str | None) -> Rollout:
    now = situation.now
    # What it shares with stable has work of its own, however the rollout goes.
    standing = [part for part in situation.own_parts(rollout.candidate, stable) if part.exists and not part.collecting]
    progress = sum(part.progress for part in standing)
    index = next((part.uid for part in standing if part.kind == "index"), "")
    if progress > rollout.progress:
        rollout = replace(rollout, progress=progress, progress_since=now)
    if index and index != rollout.progress_of:
        rollout = replace(rollout, progress=progress, progress_of=index)
    if now >= max(rollout.progress_since, rollout.overdue_since, rollout.step_since, rollout.weight_since):
        return rollout
    return replace(
        rollout,
        progress_since=min(rollout.progress_since, now),
        overdue_since=min(rollout.overdue_since, now),
        step_since=min(rollout.step_since, now),
        weight_since=min(rollout.weight_since, now),
    )


def _suspended(situation: Situation, record: Record) -> Plan:
    if record.rollout is not None:
        record = replace(record, rollout=replace(record.rollout, paused=True))
    return Plan(record, keep(situation, record))


def _next_move(situation: Situation, record: Record) -> Move | Hold | None:
    """Return the change of position that is due, why the candidate stays, or `None` at rest."""
    return _changed_wish(situation, record) or _candidate(situation, record)


def _changed_wish(situation: Situation, record: Record) -> Move | None:
    if why := triggers.record_lost(situation, record):
        return endings.restore(situation, record, triggers.restorable(situation), why)
    if (move := verbs.due(situation, record)) is not None:
        # What is wanted was resolved without a reindex that was asked for just now.
        return _begun(situation, move) if move.record.reindex == record.reindex else move
    if why := triggers.reverted(situation, record):
        return endings.revert(situation, record, why)
    if why := triggers.superseded(situation, record):
        return _begun(situation, endings.supersede(situation, record, why))
    if why := triggers.changed(situation, record):
        return endings.start(situation, record, why)
    if triggers.window_over(situation, record):
        return endings.close_window(situation, record)
    gone = triggers.departed(situation, record)
    return endings.let_go(situation, record, gone.revision) if gone else None


def _begun(situation: Situation, move: Move) -> Move:
    # Without a pause between the two in which status would say that all is well.
    why = triggers.changed(situation, move.record)
    if not why:
        return move
    started = endings.start(situation, move.record, why)
    return Move(started.record, (*move.notes, *started.notes))


def _candidate(situation: Situation, record: Record) -> Move | Hold | None:
    if record.rollout is None:
        return None
    outcome = advance(situation, record, record.rollout)
    if isinstance(outcome, Move) or outcome.paused:
        return outcome
    why = triggers.stuck(situation, replace(record.rollout, held=outcome.why))
    if record.stable is None or not why:
        return outcome
    return endings.abort(situation, record, "ProgressDeadlineExceeded", why)


def _held(situation: Situation, record: Record, hold: Hold | None) -> tuple[Record, tuple[Note, ...]]:
    """Return the record of a candidate that stays, and what people should hear about it."""
    rollout = record.rollout
    if hold is None or rollout is None:
        return record, ()
    after = replace(rollout, phase=hold.phase, held=hold.why, waiting_for=hold.waiting_for, paused=hold.paused)
    if rollout.paused and not hold.paused:
        after = replace(after, progress_since=situation.now)
    late = triggers.overdue(situation, after)
    after = replace(after, overdue_since=(after.overdue_since or situation.now) if late else 0.0)
    notes = []
    if hold.phase != rollout.phase:
        notes.append(Note(hold.phase, f"revision {rollout.candidate}: {hold.why}"))
    if hold.waiting_for and hold.waiting_for != rollout.waiting_for:
        notes.append(Note("WaitingForApproval", f"promote: {rollout.candidate}/{hold.waiting_for} ({hold.why})"))
    return replace(record, rollout=after), tuple(notes)


def _act(situation: Situation, record: Record, notes: tuple[Note, ...], hold: Hold | None) -> Plan:
    kept = keep(situation, record)
    table = traffic.intent(situation, record)
    # While the table is about to change nobody can have acknowledged what it will say.
    gone = collection(situation, kept, adopted=record.adopted) if table is None else None
    return Plan(
        record,
        kept,
        table,
        _evaluation(situation, record),
        collect=gone.steps if gone else (),
        forget=gone.forget if gone else (),
        notes=(*notes, *(traffic.told(situation, record, table) if table is not None else ())),
        blocked=gone.blocked if gone else (),
        requeue_after=_when(situation, record, hold, busy=table is not None, blocked=bool(gone and (gone.waits or gone.steps))),
    )


def keep(situation: Situation, record: Record) -> tuple[Keep, ...]:
    """Return the revisions whose components must stand, each once, in its most important role and as large as any of its roles needs."""
    roles: dict[str, Keep] = {}
    for role in (_stable(situation, record), _rolled_out(situation, record), _retired(situation, record), *_leaving(situation, record)):
        if role is not None:
            first = roles.get(role.revision, role)
            roles[role.revision] = replace(first, floors=highest(first.floors, role.floors))
    return tuple(roles.values())


def _stable(situation: Situation, record: Record) -> Keep | None:
    if record.stable is None:
        return None
    # While another revision has traffic, or may still have some, stable keeps what it ran: it may get everything back at once.
    shifting = record.rollout.floors if record.rollout and record.rollout.weight else {}
    settled = record.settling.floors if record.settling else {}
    held = highest(shifting, settled, *(entry.floors for entry in record.leaving if _present(situation, record, entry)))
    own = {part.name for part in situation.parts(record.stable)}
    return Keep(record.stable, "stable", {name: floor for name, floor in held.items() if name in own})


def _rolled_out(situation: Situation, record: Record) -> Keep | None:
    rollout = record.rollout
    revision = situation.revision(rollout.candidate) if rollout else None
    if rollout is None or (revision is not None and situation.part(revision.index).collecting):
        return None  # what is being collected is built anew, but only when it is gone
    ready = rollout.phase in ("WarmingUp", "Shifting")
    needed = floors(situation, rollout, record.stable, warming(rollout, steps_of(situation.policy))) if ready else {}
    return Keep(rollout.candidate, "candidate", needed)


def _retired(situation: Situation, record: Record) -> Keep | None:
    retired = record.retired
    if retired is None:
        return None
    cold = is_cold(situation, record) and _unused(situation, record, retired.revision)
    return Keep(retired.revision, "retired", {} if cold else retired.floors, idle=cold)


def _unused(situation: Situation, record: Record, name: str) -> bool:
    return sleeps(situation, record, name) or routed_away(situation, name)


def _leaving(situation: Situation, record: Record) -> Iterator[Keep]:
    for entry in record.leaving:
        here = _present(situation, record, entry)
        own = {part.name for part in situation.parts(entry.revision)}
        floors = {name: floor for name, floor in entry.floors.items() if here and name in own}
        yield Keep(entry.revision, "leaving", floors, idle=not here)


def _present(situation: Situation, record: Record, entry: Leaving) -> bool:
    # Order: table, acknowledged by every gateway, and only then anything shrinks.
    return situation.now < entry.idle_at or not (sleeps(situation, record, entry.revision) or left(situation, record, entry.revision))


def _evaluation(situation: Situation, record: Record) -> EvaluationIntent | None:
    rollout, table = record.rollout, situation.observed.table
    policy = situation.policy
    if rollout is None or record.stable is None or rollout.phase != "Evaluating" or verdict(rollout, "evaluation"):
        return None
    if policy.evaluation is None or not has_gates(policy) or table is None or rollout.candidate not in table.weights:
        return None
    if traffic.unacknowledged(situation.observed) and not _evaluates(situation, record.stable, rollout):
        return None  # the preview port would not know the candidate yet
    stable, candidate = situation.revision(record.stable), situation.revision(rollout.candidate)
    layout_only = stable is not None and candidate is not None and gates.layout_only(stable, candidate)
    return EvaluationIntent(record.stable, rollout.candidate, rollout.evaluation_attempt, layout_only, rollout.started)


def _evaluates(situation: Situation, stable: str, rollout: Rollout) -> bool:
    # Gateways knew the candidate when it began: one that cannot be asked for a moment, or is new, is no reason to begin again.
    running = situation.observed.evaluation
    asked = (stable, rollout.candidate, rollout.evaluation_attempt)
    return running is not None and running.running and (running.stable, running.candidate, running.attempt) == asked


def _when(situation: Situation, record: Record, hold: Hold | None, *, busy: bool, blocked: bool) -> float | None:
    """Return after how many seconds to look again, `None` when only an event can change anything."""
    now = situation.now
    times = [entry.idle_at for entry in record.leaving if entry.idle_at > now]
    times.extend(passing.until for passing in (record.retired, record.settling) if passing is not None)
    times.extend(_cold_times(situation, record))
    if record.rollout is not None and hold is not None:
        times.extend(_candidate_times(situation, record.rollout, hold))
        if record.stable is not None and not hold.paused:
            times.append(_deadline(situation, record.rollout))
    if busy:
        times.append(now + ACKNOWLEDGEMENT[0])
    if blocked or any(entry.idle_at <= now and not left(situation, record, entry.revision) for entry in record.leaving):
        times.append(now + BLOCKED)
    return max(min(times) - now, AT_ONCE) if times else None


def _cold_times(situation: Situation, record: Record) -> Iterator[float]:
    retired, now = record.retired, situation.now
    if retired is not None and situation.policy.rollback.mode == "Cold":
        if retired.idle_at > now:
            yield retired.idle_at
        elif is_cold(situation, record) and not _unused(situation, record, retired.revision):
            yield now + BLOCKED


def _candidate_times(situation: Situation, rollout: Rollout, hold: Hold) -> Iterator[float]:
    now = situation.now
    if hold.until is not None:
        yield hold.until
    if rollout.weight and situation.policy.analysis is not None:
        yield now + LIVE_TRAFFIC
    if rollout.phase in ("Evaluating", "Shifting") and traffic.unacknowledged(situation.observed):
        soonest, latest = ACKNOWLEDGEMENT
        yield now + min(latest, max(soonest, (now - rollout.progress_since) / 10))


def _deadline(situation: Situation, rollout: Rollout) -> float:
    if rollout.overdue_since:
        return rollout.overdue_since + triggers.SECOND_LOOK
    # A second later, so that it has passed when it is looked at.
    return rollout.progress_since + situation.policy.progress_deadline.seconds + 1
