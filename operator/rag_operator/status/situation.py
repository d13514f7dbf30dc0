"""Everything a status is made from. Gathered by the pass; the functions of this package only read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.model.observed import ComponentState, Observed
from rag_operator.model.plan import Plan, Record
from rag_operator.model.revision import Revision
from rag_operator.model.validated import Violation

PartName = Literal["VectorStore", "Gateway", "Indexer", "Scaling"]


@dataclass(frozen=True)
class Part:
    """Something a pipeline has once, such as its gateway. `ready` is `None` when we could not look."""

    ready: bool | None
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Failure:
    """What went wrong in this pass. `lasting`: trying again changes nothing, only a change of the spec or the cluster does."""

    reason: str
    message: str
    lasting: bool = False


@dataclass(frozen=True)
class Situation:
    """One pipeline at the end of a pass."""

    generation: int
    before: RAGPipelineStatus
    record: Record  # as it must be remembered
    now: float
    spec: RAGPipelineSpec | None = None  # None: it cannot be read
    violations: tuple[Violation, ...] = ()
    wanted: str | None = None  # the revision that the spec resolves to
    plan: Plan | None = None
    observed: Observed = field(default_factory=Observed)
    parts: Mapping[PartName, Part] = field(default_factory=dict)
    indexes: Mapping[str, RAGIndexStatus] = field(default_factory=dict)
    unfinished: tuple[Failure, ...] = ()  # workloads that answer, but not yet as the spec asks; worst first
    failure: Failure | None = None
    endpoint: str | None = None
    upgrade: str | None = None

    @property
    def suspended(self) -> bool:
        """Whether the operator leaves this pipeline alone."""
        return self.spec is not None and self.spec.suspend

    @property
    def stable(self) -> Revision | None:
        """The revision that serves, if it is recorded."""
        return self.observed.revisions.get(self.record.stable or "")

    @property
    def candidate(self) -> Revision | None:
        """The revision that is being rolled out."""
        return self.observed.revisions.get(self.record.rollout.candidate) if self.record.rollout is not None else None

    @property
    def serving(self) -> Revision | None:
        """The revision that people look at first: stable, or the one that will be."""
        return self.stable or self.candidate

    @property
    def rejected(self) -> bool:
        """Whether what the spec asks for was tried and refused."""
        return self.wanted is not None and self.wanted in self.record.rejected

    def state(self, kind: Literal["embedder", "index", "generator"]) -> ComponentState | None:
        """How a component of the serving revision stands."""
        revision = self.serving
        component = getattr(revision, kind) if revision is not None else None
        return self.observed.part(revision.name, component) if revision is not None and component is not None else None

    def stable_answers(self) -> bool:
        """Whether stable is there and every component of it is ready."""
        revision = self.stable
        if revision is None:
            return False
        states = [self.observed.part(revision.name, component) for component in revision.components()]
        return all(state is not None and state.ready for state in states)
