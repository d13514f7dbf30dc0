"""What one pass decides by, and the questions that every rule asks of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rag_operator.api.v1alpha1.rollout import Rollout as Policy
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.observed import ComponentState, Observed
from rag_operator.model.plan import Note, Record, Rollout
from rag_operator.model.revision import Component, Revision


@dataclass(frozen=True)
class Move:
    """A change of position: what is to be recorded before anything is done about it."""

    record: Record
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Situation:
    """The inputs of one pass."""

    spec: RAGPipelineSpec
    wanted: Revision | None
    observed: Observed
    now: float  # seconds since the epoch

    @property
    def policy(self) -> Policy:
        """How the spec wants changes to be rolled out."""
        return self.spec.rollout

    def revision(self, name: str) -> Revision | None:
        """Return a recorded revision, or the wanted one; the record wins, for it knows the collection's name."""
        found = self.observed.revisions.get(name)
        return self.wanted if found is None and self.wants(name) else found

    def settings(self, name: str) -> RAGPipelineSpec | None:
        """Return the newest settings of a revision: fields that change in place are those of the spec when it is wanted."""
        found = self.revision(name)
        return self.spec if self.wants(name) else found.spec if found else None

    def wants(self, name: str) -> bool:
        """Whether the spec asks for this revision."""
        return self.wanted is not None and self.wanted.name == name

    def part(self, component: Component) -> ComponentState:
        """Return the state of a component; one that was not seen does not exist."""
        return self.observed.state(component.name) or ComponentState(component.kind, component.name)

    def parts(self, name: str) -> Iterator[ComponentState]:
        """Yield the states of a revision's components; none when the revision is unknown."""
        found = self.revision(name)
        for component in found.components() if found else ():
            yield self.part(component)

    def serves(self, name: str) -> bool:
        """Whether every part of a revision can take part in answering now, and gateways have what they need to ask them."""
        parts = list(self.parts(name))
        return bool(parts) and all(_serves(part) for part in parts) and name not in self.observed.unmounted

    def unready(self, name: str) -> str:
        """Return why a revision cannot answer now, in words; empty when it can."""
        if self.revision(name) is None:
            return f"revision {name} has no record"
        return next((describe(part) for part in self.parts(name) if not _serves(part)), self.observed.unmounted.get(name, ""))

    def own_parts(self, name: str, beside: str | None) -> list[ComponentState]:
        """Return the states of the components that a revision does not share with another one."""
        other = self.revision(beside) if beside else None
        shared = {component.name for component in other.components()} if other else set()
        return [part for part in self.parts(name) if part.name not in shared]


def _serves(part: ComponentState) -> bool:
    return part.exists and part.ready and not part.collecting


def describe(part: ComponentState) -> str:
    """Return what keeps a component from being ready, in the words of who knows."""
    if part.collecting:
        return f"{part.kind} {part.name} is being collected; it is built anew afterwards"
    if not part.exists:
        return f"{part.kind} {part.name} does not exist yet"
    return f"{part.kind} {part.name} is not ready" + (f": {part.message}" if part.message else "")


def with_rollout(record: Record, rollout: Rollout, now: float, **changes: object) -> Record:
    """Return the record with the rollout changed. A changed position is progress, so the deadline starts again."""
    moved = replace(rollout, progress_since=now, overdue_since=0.0, paused=False, **changes)  # type: ignore[arg-type]
    return replace(record, rollout=moved)
