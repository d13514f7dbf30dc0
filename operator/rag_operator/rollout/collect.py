"""Collection: taking away what no revision needs any more, one step at a time. The one module that decides it. Pure.

route away → every gateway's oldest epoch in use is the table's → StopWriters → MarkCollecting (irrevocable) → Drop → Delete

A gateway that cannot be reached blocks every step and is named. So does a revision whose components are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rag_operator.model.observed import ComponentState
from rag_operator.model.plan import Collect, Keep, Record
from rag_operator.rollout.situation import Situation
from rag_operator.rollout.traffic import holding

WHY = "no revision needs it"


@dataclass(frozen=True)
class Collection:
    """The next steps, what blocks them, and the records that can go."""

    steps: tuple[Collect, ...] = ()
    blocked: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    waits: bool = False  # for gateways, which do not tell by themselves


def collection(situation: Situation, keep: Iterable[Keep], *, adopted: bool = False) -> Collection:
    """Return what can be taken away beside the revisions to keep; nothing while it is not known who served (`adopted`)."""
    if adopted:
        return Collection(blocked=("status was lost and indexes were found: nothing is taken away until one is promoted",))
    kept = [role.revision for role in keep]
    unneeded = tuple(_unneeded(situation, kept))
    foreign = tuple(_adopted(situation))
    if not unneeded:
        return Collection(blocked=foreign, forget=tuple(_forgettable(situation, kept)))
    blocked = tuple(_blocking(situation, kept, unneeded))
    steps = () if blocked else tuple(_step(part) for part in unneeded if not _awaited(situation, part))
    return Collection(steps, (*blocked, *foreign), tuple(_forgettable(situation, kept)), waits=bool(holding(situation.observed)))


def left(situation: Situation, record: Record, name: str) -> bool:
    """Whether a revision's traffic is gone for good: the table does not name it and nobody answers by an older one.

    What is kept for rollback stays in the table, with no weight.
    """
    retired = record.retired
    if retired is None or retired.revision != name:
        return routed_away(situation, name)
    return not _weights(situation).get(name, 0) and not holding(situation.observed)


def routed_away(situation: Situation, name: str) -> bool:
    """Whether the table does not name a revision, also with no weight, and nobody answers by an older one."""
    return name not in _weights(situation) and not holding(situation.observed)


def sleeps(situation: Situation, record: Record, name: str) -> bool:
    """Whether a revision was put to rest before: every gateway had acknowledged then, however far behind one is now."""
    own = situation.own_parts(name, record.stable)
    if situation.observed.table is None or name in _weights(situation):
        return False
    if situation.revision(name) is None or (own and all(part.elsewhere for part in own)):
        return False  # nothing here could tell
    if any(part.cold for part in own):
        return True
    return not any(part.desired_replicas for part in own) and all(part.stopped for part in own if part.kind == "index")


def _weights(situation: Situation) -> Mapping[str, int]:
    table = situation.observed.table
    return table.weights if table is not None else {}


def _unneeded(situation: Situation, kept: list[str]) -> Iterator[ComponentState]:
    needed = {part.name for name in kept for part in situation.parts(name)}
    needed.update(situation.observed.adopted_indexes)
    for name, part in sorted(situation.observed.components.items()):
        # What is being collected goes on even if it is wanted again: that is what irrevocable means.
        if _stands(part) and (name not in needed or part.collecting):
            yield part


def _stands(part: ComponentState) -> bool:
    return part.exists and not part.elsewhere


def _blocking(situation: Situation, kept: list[str], unneeded: tuple[ComponentState, ...]) -> Iterator[str]:
    what = ", ".join(part.name for part in unneeded)
    for reason in (*_unknown(situation, kept), *_routed(situation, unneeded), *holding(situation.observed)):
        yield f"{what}: {reason}"


def _unknown(situation: Situation, kept: list[str]) -> Iterator[str]:
    table = situation.observed.table
    for name in dict.fromkeys((*kept, *(table.weights if table else ()))):
        if situation.revision(name) is None:
            yield f"revision {name} has no record, so what it needs is unknown"


def _routed(situation: Situation, unneeded: tuple[ComponentState, ...]) -> Iterator[str]:
    table = situation.observed.table
    names = {part.name for part in unneeded}
    for name in table.weights if table else ():
        if names & {part.name for part in situation.parts(name)}:
            yield f"the routing table still names revision {name}"


def _awaited(situation: Situation, part: ComponentState) -> bool:
    # The records that name a dropped collection go first, see `_forgettable`.
    records = situation.observed.revisions.values()
    return part.dropped and any(part.name in {own.name for own in record.components()} for record in records)


def _step(part: ComponentState) -> Collect:
    if part.kind != "index" or part.dropped:
        return Collect(part.name, part.kind, "Delete", WHY)
    if part.collecting:
        return Collect(part.name, part.kind, "Drop", WHY)
    return Collect(part.name, part.kind, "MarkCollecting" if part.stopped else "StopWriters", WHY)


def _forgettable(situation: Situation, kept: list[str]) -> Iterator[str]:
    # A record goes after everything that only it explains, but before an index whose collections are gone: what is built anew
    # under the same name must not find the old collection's name. The table's revisions must stay explained, too.
    table = situation.observed.table
    known = {*kept, *(table.weights if table else ())}
    explained = {part.name for name in known for part in situation.parts(name)}
    for name in sorted(situation.observed.revisions):
        rest = [part for part in situation.parts(name) if _stands(part) and not part.dropped and part.name not in explained]
        if name not in known and not rest:
            yield name


def _adopted(situation: Situation) -> Iterator[str]:
    for name in situation.observed.adopted_indexes:
        part = situation.observed.state(name)
        if part is not None and part.collecting:
            continue  # the record of what is dropped goes before it
        yield f"{name}: it has no record, so it is kept until somebody deletes it"
