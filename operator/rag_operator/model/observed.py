"""What one look at the cluster found, as the planner needs it. Absent is `None` or an empty tuple; unknown is said by a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rag_operator.model.revision import Component, ComponentKind, Revision

MISMATCH: Final = "FingerprintMismatch"  # the reason of an index whose vectors another model made than the one that is asked
GateOutcome = Literal["Passed", "Failed", "Inconclusive", "NotApplicable"]


@dataclass(frozen=True)
class ComponentState:
    """One component as it stands now."""

    kind: ComponentKind
    name: str
    uid: str = ""  # of the object that stands for it
    exists: bool = False
    elsewhere: bool = False  # an endpoint of others: there is nothing of it to take away
    ready: bool = False  # can take part in answering now
    ready_replicas: int = 0
    desired_replicas: int = 0
    failed: bool = False  # will not become ready without a change: a build that used up its attempts, a lying model
    reason: str = ""  # CamelCase, why not ready
    message: str = ""  # in the scheduler's, the kubelet's or the indexer's own words
    progress: int = 0  # grows while work is done: documents, chunks, ready pods. No growth is no progress.
    built: bool = False  # index: its build ended
    caught_up: bool = False  # index: as design-data defines it
    failed_documents: int = 0  # index
    stopped: bool = False  # index: it has no writer: indexers acknowledged Stop, no Job of it runs
    collecting: bool = False  # index: marked irrevocably
    dropped: bool = False  # index: its collections are gone
    cold: bool = False  # index: it is to be out of memory
    woken: bool = False  # index: it was out of memory since it was filled, and is followed again


@dataclass(frozen=True)
class GatewayPod:
    """One pod of our gateway Deployment, terminating ones too."""

    name: str
    ready: bool = False
    terminating: bool = False
    reachable: bool = False  # its metrics could be read in this pass
    epoch_served: int | None = None
    epoch_oldest: int | None = None  # oldest epoch still in use


@dataclass(frozen=True)
class TableState:
    """The routing table as stored."""

    epoch: int
    weights: Mapping[str, int]  # by revision; a revision with 0 is reachable by preview
    salt: str = ""
    resource_version: str = ""


@dataclass(frozen=True)
class MetricReading:
    """One metric of the offline gate, over the same questions."""

    name: str
    stable: float
    candidate: float
    difference: float  # paired mean difference / stable's mean
    low: float  # bootstrap 95 % interval of `difference`
    high: float
    questions: int
    judged_stable: float = 1.0  # judged@10; 1 for both when the set judges relevant documents only: then it would be precision
    judged_candidate: float = 1.0
    errors_stable: int = 0
    errors_candidate: int = 0


@dataclass(frozen=True)
class EvaluationReading:
    """What the evaluation Job reported for (stable, candidate)."""

    stable: str
    candidate: str
    attempt: int = 1
    running: bool = False
    error: str = ""  # the set cannot be read, the Job failed: numbers are missing
    metrics: tuple[MetricReading, ...] = ()  # the primary one first
    layout_recall: float | None = None  # recall@10 against exact search, when only the layout changed


@dataclass(frozen=True)
class TrafficCounts:
    """Cumulative counts of one revision over the present step, summed over gateways."""

    requests: int = 0
    errors: int = 0
    degraded: int = 0
    empty: int = 0
    retrieval_p95: float | None = None  # seconds
    first_token_p95: float | None = None  # seconds


@dataclass(frozen=True)
class AnalysisReading:
    """Live traffic over the present step. `None` in `Observed` means that it could not be read: never a pass."""

    stable: TrafficCounts
    candidate: TrafficCounts
    since: float = 0.0  # when counting began, in seconds since the epoch: with the step, or when the operator started after that


@dataclass(frozen=True)
class Observed:
    """Everything the planner decides by, beside the spec and the record in status."""

    components: Mapping[str, ComponentState] = field(default_factory=dict)  # by component name
    pairs: Mapping[str, ComponentState] = field(default_factory=dict)  # revision -> its index, where another embedder fills that
    revisions: Mapping[str, Revision] = field(default_factory=dict)  # recorded ones, by revision name
    table: TableState | None = None
    gateways: tuple[GatewayPod, ...] = ()
    gateways_known: bool = True  # False: the list could not be read completely
    evaluation: EvaluationReading | None = None
    analysis: AnalysisReading | None = None
    analysis_heard: float = 0.0  # when live traffic could be read last, or was first asked for in this step; 0 when nobody asked
    verbs: Mapping[str, str] = field(default_factory=dict)  # annotation -> value
    unmounted: Mapping[str, str] = field(default_factory=dict)  # revision that gateways cannot answer by yet -> why
    adopted_indexes: tuple[str, ...] = ()  # owned indexes without a record: a restored cluster
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def state(self, name: str) -> ComponentState | None:
        """The state of the component called `name`, if it was seen."""
        return self.components.get(name)

    def part(self, revision: str, component: Component) -> ComponentState | None:
        """The state of a revision's component; an index is as good as the revision's own embedder finds it."""
        pair = self.pairs.get(revision) if component.kind == "index" else None
        return pair or self.components.get(component.name)
