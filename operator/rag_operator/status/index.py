"""The conditions of one index, derived from what indexers report: `Ready`, `CaughtUp`, `Fresh`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.documents import Source
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.api.v1alpha1.status import Condition
from rag_operator.model.observed import ComponentState
from rag_operator.status.conditions import Verdict, settled
from rag_operator.status.freshness import freshness


def index_conditions(
    state: ComponentState, status: RAGIndexStatus, sources: Iterable[Source], generation: int, now: float
) -> tuple[Condition, ...]:
    """The conditions as they are now, each with the time of its last transition."""
    known = {condition.type: condition for condition in status.conditions}
    time = Timestamp.at(datetime.fromtimestamp(now, UTC))
    verdicts = {"Ready": ready(state), "CaughtUp": caught_up(state), "Fresh": fresh(status, sources, now)}
    if state.cold:
        verdicts = dict.fromkeys(verdicts, Verdict("False", "Cold", state.message))
    return tuple(settled(kind, verdict, known.get(kind), generation, time) for kind, verdict in verdicts.items())


def ready(state: ComponentState) -> Verdict:
    """True: it is built, caught up, loaded, fully indexed, and made by the embedder that is asked."""
    return Verdict("True", "Ready") if state.ready else Verdict("False", state.reason or "NotReady", state.message)


def caught_up(state: ComponentState) -> Verdict:
    """True: it applied a listing of the sources that began after its build ended."""
    if state.caught_up:
        return Verdict("True", "CaughtUp")
    return Verdict("False", "CatchingUp" if state.built else "Building")


def fresh(status: RAGIndexStatus, sources: Iterable[Source], now: float) -> Verdict:
    """True: it holds every source as of at most its maxStaleness ago, and no deletion is held."""
    found = freshness(sources, status, now)
    if found.state == "Unknown":
        return Verdict("Unknown", "NotSynced")
    if found.deletions_held:
        return Verdict("False", "DeletionHeld", "a listing lacks so many documents that nothing was deleted")
    if found.stale_sources:
        return Verdict("False", "Stale", f"older than its maxStaleness: {', '.join(found.stale_sources)}")
    return Verdict("True", "Fresh")
