"""How a rollout begins and ends: every function returns the position after it, with the words for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from rag_operator import names
from rag_operator.model.plan import Decision, Ending, Gate, Leaving, Note, Record, Retired, Rollout
from rag_operator.rollout import gates
from rag_operator.rollout.bluegreen import steps_of
from rag_operator.rollout.replicas import highest, running, settling
from rag_operator.rollout.situation import Move, Situation

MAX_REJECTED: Final = 10
MAX_DECISIONS: Final = 5


def start(situation: Situation, record: Record, why: str) -> Move:
    """The wanted revision becomes the candidate."""
    if situation.wanted is None:
        raise ValueError("a rollout needs a revision that is wanted")
    name, now = situation.wanted.name, situation.now
    rollout = Rollout(
        candidate=name,
        phase="Provisioning",
        steps=len(steps_of(situation.policy)),
        started=now,
        progress_since=now,
        evaluation_policy=gates.policy_digest(situation.policy.evaluation),
        analysis_policy=gates.policy_digest(situation.policy.analysis),
    )
    adopted = record.adopted or _finds_foreign(situation, record)
    begun = replace(record, rollout=rollout, adopted=adopted, leaving=_without(record.leaving, name))
    return Move(begun, (Note("RolloutStarted", f"revision {name}: {why}"),))


def go_back(situation: Situation, record: Record, approved: tuple[str, ...]) -> Move:
    """The way back to a cold revision: everything of it is brought up again, then it gets all the traffic at once."""
    if record.retired is None:
        raise ValueError("there is nothing to go back to")
    name, now = record.retired.revision, situation.now
    before = Move(record)
    if record.rollout is not None:
        before = abort(situation, record, "RollbackRequested", f"somebody goes back to {name}")
    rollout = Rollout(candidate=name, phase="Provisioning", started=now, progress_since=now, approved=approved, back=True)
    after = replace(before.record, rollout=rollout, leaving=_without(before.record.leaving, name))
    started = Note("RollbackStarted", f"revision {name}: it is cold, so its pods start, its index is loaded and catches up first")
    return Move(after, (*before.notes, started))


def promote(situation: Situation, record: Record, rollout: Rollout) -> Move:
    """The candidate becomes stable; what was stable stays hot for the rollback window."""
    name, now, policy = rollout.candidate, situation.now, situation.policy
    retired = record.retired
    if record.stable is not None:
        retired = Retired(record.stable, now + policy.rollback.window.seconds, rollout.floors, now + policy.abort_delay.seconds)
    after = replace(
        record,
        stable=name,
        rollout=None,
        retired=retired,
        settling=settling(situation, name, running(situation, name)) if record.stable is not None else None,
        adopted=False,
        leaving=_without(record.leaving, name),
        rejected=tuple(other for other in record.rejected if other != name),
    )
    why = "the first revision is ready" if record.stable is None else "every step is done"
    return _ended(situation, after, "Promoted", "RolloutPromoted", name=name, why=why, numbers=gate_numbers(rollout), warning=False)


def abort(situation: Situation, record: Record, reason: str, why: str, gate: Gate | None = None) -> Move:
    """The candidate loses its traffic and is not tried again by itself; its pods stay for `abortDelay`. `gate`: what decided."""
    if record.rollout is None:
        raise ValueError("there is no rollout to abort")
    name = record.rollout.candidate
    end = _cold_again if record.rollout.back else _reject
    after = end(situation, _taken_back(situation, record, record.rollout), name, why, _sizes(situation, record.rollout))
    return _ended(
        situation, after, "Aborted", reason, name=name, why=why, numbers={**gate_numbers(record.rollout), **(_flat(gate) if gate else {})}
    )


def supersede(situation: Situation, record: Record, why: str) -> Move:
    """Another revision is wanted: the candidate goes as soon as no gateway uses it, what both share is kept."""
    if record.rollout is None:
        raise ValueError("there is no rollout to supersede")
    name = record.rollout.candidate
    entry = Leaving(name, situation.now, why, _sizes(situation, record.rollout))
    after = replace(_taken_back(situation, record, record.rollout), leaving=_left(record, entry))
    return _ended(situation, after, "Superseded", "RolloutSuperseded", name=name, why=why, warning=False)


def revert(situation: Situation, record: Record, why: str) -> Move:
    """The spec is stable's again: the candidate loses its traffic and goes after `abortDelay`."""
    if record.rollout is None:
        raise ValueError("there is no rollout to revert")
    name = record.rollout.candidate
    after = _leave(situation, _taken_back(situation, record, record.rollout), name, why, _sizes(situation, record.rollout))
    return _ended(situation, after, "Reverted", "RolloutReverted", name=name, why=why, warning=False)


def roll_back(situation: Situation, record: Record, way: Rollout | None = None) -> Move:
    """The retired revision serves again; what was stable, and a candidate, are rejected. A rollout that was under way ends, too.

    `way` is the rollout that brought it up, if it was cold.
    """
    left, retired = record.stable, record.retired
    back = way.candidate if way is not None else retired.revision if retired is not None else None
    if back is None or left is None:
        raise ValueError("there is nothing to roll back to")
    floors = _sizes(situation, way) if way is not None else retired.floors if retired is not None else {}
    why = f"rolled back to {back}"
    after = replace(
        record,
        stable=back,
        rollout=None,
        retired=None,
        settling=settling(situation, back, floors),
        leaving=_without(record.leaving, back),
        rejected=tuple(name for name in record.rejected if name != back),
    )
    for name in (record.rollout.candidate if record.rollout else None, left):
        if name is not None and name != back:
            # What goes back to work keeps its size, too, until every gateway has heard.
            after = _reject(situation, after, name, why, highest(running(situation, name), floors))
    ended = _cut_off(situation, after, record.rollout, why)
    back_again = _ended(situation, ended.record, "RolledBack", "RolledBack", name=left, why=why)
    return replace(back_again, notes=(*ended.notes, *back_again.notes))


def _cut_off(situation: Situation, after: Record, rollout: Rollout | None, why: str) -> Move:
    # Going back is the end of a revision that served. A rollout that was under way has an end of its own, a good one if it was on the
    # way to the same revision.
    if rollout is None:
        return Move(after)
    name, numbers = rollout.candidate, gate_numbers(rollout)
    if name == after.stable:
        return _ended(situation, after, "Promoted", "RolloutPromoted", name=name, why=why, numbers=numbers, warning=False)
    return _ended(situation, after, "Aborted", "RolledBack", name=name, why=why, numbers=numbers)


def restore(situation: Situation, record: Record, stable: str, why: str) -> Move:
    """Status was lost: who serves, and who can be rolled back to, is read from the routing table."""
    weights = situation.observed.table.weights if situation.observed.table else {}
    idle = [name for name, weight in weights.items() if not weight]
    away = [name for name in situation.observed.revisions if name not in weights and _was_cold(situation, name)]
    known = (name for name in (*idle, *away) if name in situation.observed.revisions and not situation.wants(name))
    retired = next(known, None)
    until = situation.now + situation.policy.rollback.window.seconds
    old = _standing_verbs(situation, record)
    done = {**record.verbs_done, **old}
    after = replace(record, stable=stable, retired=Retired(retired, until) if retired else None, verbs_done=done)
    return Move(after, (Note("RecordRestored", why, warning=True), *(_ignored(verb, value) for verb, value in old.items())))


def _was_cold(situation: Situation, name: str) -> bool:
    # On its way back it is not cold any more, and not in the table yet.
    index = situation.index(name)
    return index is not None and (index.cold or index.woken)


def _standing_verbs(situation: Situation, record: Record) -> dict[str, str]:
    # Nobody knows any more which of them were done, and what was meant for the past must not be done again now. The last reindex is
    # another matter: it is part of what is wanted, as long as it stands.
    return {
        verb: value
        for verb, value in situation.observed.verbs.items()
        if value and verb != names.VERB_REINDEX and record.verbs_done.get(verb) != value
    }


def _ignored(verb: str, value: str) -> Note:
    short = verb.removeprefix(f"{names.GROUP}/")
    return Note("VerbIgnored", f"{short} {value}: status was lost, so this counts as done; set another value to ask again", warning=True)


def close_window(situation: Situation, record: Record) -> Move:
    """The time to roll back is over."""
    name = record.retired.revision if record.retired else ""
    note = Note("RollbackWindowClosed", f"revision {name} can no longer be rolled back to")
    return Move(replace(record, retired=None), (note,))


def let_go(situation: Situation, record: Record, name: str) -> Move:
    """A revision that left is no longer kept."""
    return Move(replace(record, leaving=_without(record.leaving, name)))


def gate_numbers(rollout: Rollout) -> dict[str, float]:
    """Return the gates' numbers for the history, by gate and name."""
    return {name: value for gate in rollout.gates for name, value in _flat(gate).items()}


def _flat(gate: Gate) -> dict[str, float]:
    return {f"{gate.name} {name}": float(value) for name, value in gate.numbers.items() if isinstance(value, int | float)}


def _finds_foreign(situation: Situation, record: Record) -> bool:
    # A position is recorded before its first child: indexes beside an empty record mean that the record was lost.
    blank = replace(record, verbs_done={}, verbs_refused={}, reindex="", approved_deletions={}, epoch=0) == Record()
    # One that is on its way out was a pipeline's that is gone.
    indexes = [part for part in situation.observed.components.values() if part.kind == "index" and not part.collecting]
    return blank and any(index.exists for index in indexes)


def _taken_back(situation: Situation, record: Record, rollout: Rollout) -> Record:
    # All the traffic is stable's again, if the candidate had some.
    had = record.stable is not None and rollout.weight
    return replace(record, rollout=None, settling=settling(situation, record.stable, rollout.floors) if had else record.settling)


def _sizes(situation: Situation, rollout: Rollout) -> dict[str, int]:
    # Gateways that have not heard yet go on using both sides as they were.
    return highest(running(situation, rollout.candidate), rollout.floors) if rollout.weight else {}


def _reject(situation: Situation, record: Record, name: str, why: str, floors: Mapping[str, int]) -> Record:
    rejected = (*(other for other in record.rejected if other != name), name)[-MAX_REJECTED:]
    return _leave(situation, replace(record, rejected=rejected), name, why, floors)


def _cold_again(situation: Situation, record: Record, name: str, why: str, floors: Mapping[str, int]) -> Record:
    # Going back did not succeed; it can be tried again as long as the window is open.
    if record.retired is None:
        return _leave(situation, record, name, why, floors)
    idle_at = situation.now + situation.policy.abort_delay.seconds
    return replace(record, retired=replace(record.retired, floors=highest(record.retired.floors, floors), idle_at=idle_at))


def _leave(situation: Situation, record: Record, name: str, why: str, floors: Mapping[str, int]) -> Record:
    idle_at = situation.now + situation.policy.abort_delay.seconds
    return replace(record, leaving=_left(record, Leaving(name, idle_at, why, floors)))


def _left(record: Record, entry: Leaving) -> tuple[Leaving, ...]:
    return (*_without(record.leaving, entry.revision), entry)


def _without(leaving: Iterable[Leaving], name: str) -> tuple[Leaving, ...]:
    return tuple(entry for entry in leaving if entry.revision != name)


def _ended(
    situation: Situation,
    record: Record,
    ending: Ending,
    reason: str,
    *,
    name: str,
    why: str,
    numbers: Mapping[str, float] | None = None,
    warning: bool = True,
) -> Move:
    decision = Decision(ending, name, situation.now, why, reason, dict(numbers or {}))
    history = (decision, *record.decisions)[:MAX_DECISIONS]
    return Move(replace(record, decisions=history), (Note(reason, f"revision {name}: {why}", warning=warning),))
