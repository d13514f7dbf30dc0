"""The verbs: annotations by which people approve, stop, repeat and go back without touching the spec. Pure.

Each value is handled once and remembered. A verb that does not fit what is going on is refused with the reason, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rag_operator import names
from rag_operator.model.plan import Note, Record, Rollout
from rag_operator.rollout.cold import is_cold
from rag_operator.rollout.endings import abort, go_back, roll_back
from rag_operator.rollout.situation import Move, Situation, with_rollout

FULL: Final = "full"
LONGEST: Final = 512  # characters of a value: what indexes are told of one
Handled = Move | str  # a refusal is its reason


def due(situation: Situation, record: Record) -> Move | None:
    """Return what the first verb that was not handled yet does."""
    for verb, handle in HANDLERS.items():
        # One character more than may be: what is longer is refused, and need not be remembered whole.
        value = situation.observed.verbs.get(verb, "")[: LONGEST + 1]
        if value and record.verbs_done.get(verb) != value:
            handled = handle(situation, record, value) if len(value) <= LONGEST else f"a value has at most {LONGEST} characters"
            return _remembered(record, verb, value, handled)
    return None


def approval(rollout: Rollout, gate: str) -> bool:
    """Whether somebody approved a gate for the present position."""
    return gate_key(rollout, gate) in rollout.approved or FULL in rollout.approved


def gate_key(rollout: Rollout, gate: str) -> str:
    """Return what is remembered of an approval: an analysis is approved for one weight only."""
    return f"{gate}@{rollout.weight}" if gate == "analysis" else gate


def lapsed(rollout: Rollout, gate: str) -> tuple[str, ...]:
    """Return what stays approved when a gate is asked anew: nobody has seen yet what it will say."""
    return tuple(one for one in rollout.approved if one.partition("@")[0] != gate)


def _remembered(record: Record, verb: str, value: str, handled: Handled) -> Move:
    short = verb.removeprefix(f"{names.GROUP}/")
    if isinstance(handled, str):
        refused = {**record.verbs_refused, verb: handled}
        note = Note("VerbRefused", f"{short} {value}: {handled}", warning=True)
        return Move(replace(record, verbs_done={**record.verbs_done, verb: value}, verbs_refused=refused), (note,))
    accepted = {name: why for name, why in record.verbs_refused.items() if name != verb}
    after = replace(handled.record, verbs_done={**record.verbs_done, verb: value}, verbs_refused=accepted)
    return Move(after, (Note("VerbDone", f"{short} {value}"), *handled.notes))


def _abort(situation: Situation, record: Record, value: str) -> Handled:
    rollout = _rollout(record, _revision(value))
    return rollout if isinstance(rollout, str) else abort(situation, record, "AbortRequested", "somebody asked to abort it")


def _roll_back(situation: Situation, record: Record, value: str) -> Handled:
    name, retired = _revision(value), record.retired
    if retired is None or record.stable is None:
        return "there is no revision to roll back to"
    if retired.revision != name:
        return f"only revision {retired.revision} can be rolled back to"
    if record.rollout is not None and record.rollout.back:
        return f"revision {name} is on its way back already"
    if is_cold(situation, record):
        return go_back(situation, record, approved=(FULL,))
    unready = situation.unready(name)
    return f"revision {name} cannot serve: {unready}" if unready else roll_back(situation, record)


def _retry(situation: Situation, record: Record, value: str) -> Handled:
    name = _revision(value)
    if name in record.rejected:
        return Move(replace(record, rejected=tuple(other for other in record.rejected if other != name)))
    rollout = _rollout(record, name)
    if isinstance(rollout, str):
        return f"revision {name} is neither rejected nor rolled out"
    if rollout.weight:
        return f"revision {name} has traffic; only what waits before that can be tried again"
    return Move(
        with_rollout(
            record,
            rollout,
            situation.now,
            gates=(),
            approved=lapsed(rollout, "evaluation"),
            attempt=rollout.attempt + 1,
            evaluation_attempt=rollout.evaluation_attempt + 1,
            evaluation_first=rollout.evaluation_attempt + 1,
            waiting_for="",
        )
    )


def _promote(situation: Situation, record: Record, value: str) -> Handled:
    # `<revision>/<what>/<nonce>`: without the nonce, a second wait for the same could not be told from the first.
    name, what, *_ = [*value.split("/", 2), ""]
    rollout = _rollout(record, name)
    if isinstance(rollout, str):
        return rollout
    if not rollout.waiting_for:
        return f"revision {name} waits for nothing"
    if what != rollout.waiting_for:
        return f"revision {name} waits for {rollout.waiting_for}"
    return _approved(situation, record, rollout, gate_key(rollout, what))


def _promote_full(situation: Situation, record: Record, value: str) -> Handled:
    rollout = _rollout(record, _revision(value))
    return rollout if isinstance(rollout, str) else _approved(situation, record, rollout, FULL)


def _approved(situation: Situation, record: Record, rollout: Rollout, what: str) -> Move:
    # Once each: status has room for what there is to approve, not for every time that somebody asks.
    approved = tuple(dict.fromkeys((*rollout.approved, what)))
    return Move(with_rollout(record, rollout, situation.now, approved=approved, waiting_for="", held=""))


def _reindex(situation: Situation, record: Record, value: str) -> Handled:
    return Move(replace(record, reindex=value))


def _approve_deletions(situation: Situation, record: Record, value: str) -> Handled:
    index = _revision(value)
    state = situation.observed.state(index)
    if state is None or state.kind != "index" or state.collecting:
        return f"there is no index {index}"
    if record.approved_deletions.get(index) == value:
        return "this was approved before; another nonce approves anew"
    # One that stands for another index was perhaps not used yet.
    standing = {name: given for name, given in record.approved_deletions.items() if situation.observed.state(name) is not None}
    return Move(replace(record, approved_deletions={**standing, index: value}))


def _revision(value: str) -> str:
    return value.partition("/")[0]


def _rollout(record: Record, name: str) -> Rollout | str:
    if record.rollout is None:
        return "nothing is rolled out"
    if record.rollout.candidate != name:
        return f"revision {record.rollout.candidate} is rolled out, not {name}"
    return record.rollout


# In this order: what stops comes before what goes on.
HANDLERS: Final[dict[str, Callable[[Situation, Record, str], Handled]]] = {
    names.VERB_ABORT: _abort,
    names.VERB_ROLLBACK: _roll_back,
    names.VERB_RETRY: _retry,
    names.VERB_PROMOTE: _promote,
    names.VERB_PROMOTE_FULL: _promote_full,
    names.VERB_REINDEX: _reindex,
    names.VERB_APPROVE_DELETIONS: _approve_deletions,
}
