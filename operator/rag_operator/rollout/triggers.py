"""Why must we act? Each function looks at one reason and says it in words or by what it found, or returns nothing. Pure."""

from __future__ import annotations

from typing import Final

from rag_operator.model.observed import ComponentState
from rag_operator.model.plan import Leaving, Record, Rollout
from rag_operator.rollout.collect import left
from rag_operator.rollout.situation import Situation

SECOND_LOOK: Final = 60.0  # seconds


def record_lost(situation: Situation, record: Record) -> str:
    """The routing table sends traffic, but status knows nobody who serves."""
    serving = restorable(situation)
    if record.stable is not None or not serving:
        return ""
    return f"status was lost; revision {serving} serves by the routing table"


def restorable(situation: Situation) -> str:
    """Return the revision that the routing table shows as stable: one that is recorded and, if there is a choice, not wanted."""
    table = situation.observed.table
    weights = {name: weight for name, weight in (table.weights if table else {}).items() if weight}
    known = [name for name in weights if name in situation.observed.revisions]
    return max(known, key=lambda name: (not situation.wants(name), weights[name]), default="")


def window_over(situation: Situation, record: Record) -> str:
    """The rollback window has passed."""
    over = record.retired is not None and situation.now >= record.retired.until
    return "the rollback window is over" if over else ""


def departed(situation: Situation, record: Record) -> Leaving | None:
    """Return a revision whose delay is over, that no gateway uses and that nobody waits for.

    A rejected revision that the spec still asks for waits for `retry` with its index.
    """
    if situation.wanted is None:
        return None
    return next((entry for entry in record.leaving if _departed(situation, record, entry)), None)


def _departed(situation: Situation, record: Record, entry: Leaving) -> bool:
    waits = situation.wants(entry.revision) and entry.revision in record.rejected
    return situation.now >= entry.idle_at and not waits and left(situation, record, entry.revision)


def reverted(situation: Situation, record: Record) -> str:
    """The spec asks for stable while another revision is rolled out."""
    back = record.stable is not None and situation.wants(record.stable)
    # Who goes back by the verb leaves the spec as it is.
    chosen = record.rollout is not None and not record.rollout.back
    return "the spec asks for the stable revision again" if back and chosen else ""


def superseded(situation: Situation, record: Record) -> str:
    """The spec asks for a third revision."""
    wanted, rollout = situation.wanted, record.rollout
    if wanted is None or rollout is None or wanted.name in (rollout.candidate, record.stable):
        return ""
    if rollout.back and wanted.name in record.rejected:
        return ""
    return f"the spec asks for revision {wanted.name} now"


def changed(situation: Situation, record: Record) -> str:
    """The spec asks for a revision that neither serves nor is rolled out, and that was not rejected."""
    wanted = situation.wanted
    if wanted is None or record.rollout is not None or wanted.name == record.stable or wanted.name in record.rejected:
        return ""
    return "the first one" if record.stable is None else "the spec asks for it"


def broken(situation: Situation, record: Record) -> ComponentState | None:
    """Return a part of the candidate that will not become ready without a change."""
    rollout = record.rollout
    return next((part for part in situation.parts(rollout.candidate) if part.failed), None) if rollout else None


def overdue(situation: Situation, rollout: Rollout) -> bool:
    """Whether nothing was achieved for longer than the deadline, pauses not counted."""
    return not rollout.paused and situation.now - rollout.progress_since > situation.policy.progress_deadline.seconds


def stuck(situation: Situation, rollout: Rollout) -> str:
    """The deadline has passed, and a second look some time later saw no progress either: it was not the clock that jumped."""
    if not overdue(situation, rollout) or not rollout.overdue_since or situation.now - rollout.overdue_since < SECOND_LOOK:
        return ""
    return f"no progress for {situation.policy.progress_deadline}: {rollout.held or rollout.phase}"
