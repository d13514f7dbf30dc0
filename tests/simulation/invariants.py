"""What must hold after every single write and event of a simulated rollout. Each function returns what is wrong, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

from rag_operator.model.plan import Record
from simulation.operate import Pass
from simulation.parts import Part
from simulation.world import World

# The four ends of a rollout. The fifth word of the history, `RolledBack`, is no end of one: it says that a revision which had served
# was left by the verb `rollback`. A rollout that is under way then ends, too: `Promoted` if it was on the way to the same revision, else
# `Aborted`.
ENDINGS = {"Promoted", "Aborted", "Superseded", "Reverted"}

MOVING = {"table", "evaluate", "StopWriters", "MarkCollecting", "Drop", "Delete"}  # writes that move traffic, ask or take away


class BrokenError(AssertionError):
    """An invariant does not hold."""


class Invariants:
    """Looks at the world after every step and remembers what it needs of the step before."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.record = Record()
        self.table: dict[str, int] = {}
        self.epoch = 0
        self.unapproved = False  # the record was lost, and nobody has said yet that what is found may serve
        self.growing: set[str] = set()  # revisions that got the first traffic of all, before any autoscaler could know of it

    def check(self, decided_by: Pass | None = None) -> None:
        """Raise `BrokenError` with the story so far when something is wrong."""
        found = (self._answers(), self._collection(), self._table(decided_by), self._record(), self._shrunk(), self._served())
        self.fail([wrong for one in found for wrong in one])
        self.record = self.world.stored()
        self.unapproved = self.unapproved or self.record.adopted
        self.table = dict(self.world.table.weights) if self.world.table else {}
        self.epoch = self.world.table.epoch if self.world.table else self.epoch

    def fail(self, found: list[str]) -> None:
        """Raise `BrokenError` with the story so far when something was found."""
        if found:
            raise BrokenError("\n".join((*self.world.lines, f">>> {found[0]}")))

    # One answer, one revision: whatever table a gateway or a stream of it uses, every part of that revision stands.
    def _answers(self) -> Iterator[str]:
        for name in self._in_use():
            revision = self.world.revisions.get(name)
            if revision is None:
                yield f"revision {name} is in use and has no record"
                continue
            index = self.world.parts.get(revision.index.name)
            if index is None or index.collecting or index.dropped or index.collection != revision.collection:
                yield f"revision {name} is in use and its index is gone, going or another one"

        # Of a preview, too, nobody may ask a collection that is out of memory.
        for name in self._in_use(previews=True):
            revision = self.world.revisions.get(name)
            index = self.world.parts.get(revision.index.name) if revision is not None else None
            if index is not None and not index.loaded:
                yield f"revision {name} is listed and its index is out of memory"

    # Nothing in use is collected, in the one order that is allowed.
    def _collection(self) -> Iterator[str]:
        for part in self.world.parts.values():
            if part.component.kind != "index":
                continue
            if part.collecting and not part.stopped:
                yield f"{part.name} is collected while indexers write to it"
            if part.work == "Drop" and not part.collecting:
                yield f"{part.name} is dropped before it is marked"
        for name in self._in_use():
            yield from self._embedder(name)

    def _embedder(self, name: str) -> Iterator[str]:
        revision = self.world.revisions.get(name)
        part = self.world.parts.get(revision.embedder.name) if revision else None
        if part is not None and part.wanted_pods == 0:
            yield f"revision {name} is in use and its embedder is idle"
        if revision is not None and part is None and revision.embedder.name not in self.world.deleted:
            yield f"revision {name} is in use and its embedder was collected"

    def _in_use(self, *, previews: bool = False) -> set[str]:
        epochs = {epoch for gateway in self.world.gateways for epoch in (gateway.served, *gateway.streams) if epoch}
        return {name for epoch in epochs for name, weight in self.world.tables[epoch].items() if weight or previews}

    # Weights sum to 100 and rise only where every part is ready and large enough.
    def _table(self, decided_by: Pass | None) -> Iterator[str]:
        table = self.world.table
        if table is None or (table.epoch, table.weights) == (self.epoch, self.table):
            return
        if table.epoch <= self.epoch:
            yield f"the table's epoch did not rise: {table.epoch} after {self.epoch}"
        if sum(table.weights.values()) != 100:
            yield f"weights sum to {sum(table.weights.values())}"
        lowered = [name for name, weight in self.table.items() if weight > table.weights.get(name, 0)]
        for name, weight in table.weights.items():
            if weight > self.table.get(name, 0):
                yield from self._raised(name, weight, lowered, decided_by)

    def _raised(self, name: str, weight: int, lowered: list[str], decided_by: Pass | None) -> Iterator[str]:
        if not self._seen_ready(name, decided_by) and (not lowered or any(self._seen_ready(other, decided_by) for other in lowered)):
            yield f"revision {name} gets {weight} % and is not ready"
        revision = self.world.revisions.get(name)
        index = self.world.parts.get(revision.index.name) if revision is not None else None
        if index is not None and index.behind:
            yield f"revision {name} gets {weight} % and has not caught up since it was cold"
        if name in self.world.stored().rejected:
            yield f"revision {name} was rejected and gets {weight} %"
        if self.unapproved and not self._adoption_approved(name):
            yield f"revision {name} gets {weight} % although the record was lost and nobody approved"
        yield from self._large_enough(name, weight, lowered)

    def _seen_ready(self, name: str, decided_by: Pass | None) -> bool:
        return decided_by is not None and ready(decided_by, name)

    def _adoption_approved(self, name: str) -> bool:
        self.unapproved = not self.world.verbs.get("ragops.dev/promote", "").startswith(f"{name}/adoption")
        return not self.unapproved

    def _large_enough(self, name: str, weight: int, lowered: list[str]) -> Iterator[str]:
        part = self._embedder_of(name)
        if not lowered:
            self.growing.add(name)
        elif part is not None and not part.lost and part.pods < self.world.load(name):
            yield f"revision {name} gets {weight} % with {part.pods} pods, it needs {self.world.load(name)}"

    # Stable, and whoever else has traffic, is served by enough pods at every moment, unless a fault took them.
    def _served(self) -> Iterator[str]:
        weights = self.world.table.weights if self.world.table else {}
        for name in (name for name, weight in weights.items() if weight):
            part = self._embedder_of(name)
            if part is None or part.lost:
                continue
            if part.pods >= self.world.needed(part):
                self.growing.discard(name)
            elif name not in self.growing:
                yield f"revision {name} answers with {part.pods} pods, its load needs {self.world.needed(part)}"

    def _shrunk(self) -> Iterator[str]:
        for name, before, after in self.world.shrunk:
            yield f"{name} shrinks from {before} to {after} pods under traffic that came just now"

    def _embedder_of(self, name: str) -> Part | None:
        revision = self.world.revisions.get(name)
        return self.world.parts.get(revision.embedder.name) if revision else None

    # Every rollout ends in one of the four ways, and the history says so once.
    def _record(self) -> Iterator[str]:
        after = self.world.stored()
        before = self.record.rollout
        if before is None or (after.rollout is not None and after.rollout.started == before.started):
            return
        new = [decision for decision in after.decisions if decision not in self.record.decisions]
        said = [decision.what for decision in new if decision.revision == before.candidate]
        if len(said) != 1 or said[0] not in ENDINGS:
            yield f"the rollout of {before.candidate} vanished without an ending"
        asked = any(decision.what == "RolledBack" for decision in new)  # going back is at once
        if after.stable == before.candidate and before.weight != 100 and self.record.stable is not None and not asked:
            yield f"revision {before.candidate} was promoted at {before.weight} %"


def after_acting(passed: Pass) -> Iterator[str]:
    """Yield who keeps weight after a pass that saw it was not ready while stable was."""
    table, stable = passed.observed.table, passed.record.stable
    if table is None or stable is None or passed.plan.table or passed.plan.requeue_after == 0 or not ready(passed, stable):
        return
    if passed.suspended:
        return  # weights stay
    for name, weight in table.weights.items():
        if weight and not ready(passed, name):
            yield f"revision {name} keeps {weight} % and is not ready"


def ready(passed: Pass, name: str) -> bool:
    """Whether a pass saw every part of a revision ready."""
    revision = passed.observed.revisions.get(name)
    states = [passed.observed.part(name, part) for part in revision.components()] if revision else [None]
    return all(state is not None and state.exists and state.ready for state in states)


def at_rest(passed: Pass) -> Iterator[str]:
    """Yield what the operator would still do although nothing happens any more."""
    planned = passed.plan
    if passed.writes:
        yield f"at rest the operator writes {[write.what for write in passed.writes]}"
    if planned.table or planned.evaluation or planned.collect or planned.forget or planned.notes or planned.record != passed.record:
        yield "at rest the plan is not empty"


def while_suspended(passed: Pass) -> Iterator[str]:
    """Yield what a pass moves although the spec says that nothing moves."""
    moving = [write.what for write in passed.writes if write.what.split()[0] in MOVING]
    if passed.suspended and (moving or passed.plan.moved):
        yield f"suspended, the operator moves: {moving or passed.plan.notes}"


def left_open(record: Record) -> Iterator[str]:
    """Yield the rollout that is under way when nothing will ever happen any more."""
    if record.rollout is not None:
        yield f"all is over and the rollout of {record.rollout.candidate} has not ended: {record.rollout.held}"
