"""`RAGPipelineStatus`: what the operator tells people, and the little that it must remember between passes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rag_operator.api.base import Items, Record
from rag_operator.api.rules import Keyed
from rag_operator.api.scalars import Timestamp

Text = Annotated[str, Field(max_length=1024)]
Name = Annotated[str, Field(max_length=253)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Numbers = Annotated[dict[str, float], Field(max_length=32)]
Floors = Annotated[dict[str, Annotated[int, Field(ge=0, le=1000)]], Field(max_length=8)]
Weight = Annotated[int, Field(ge=0, le=100)]
GateResult = Literal["Passed", "Failed", "Inconclusive", "NotApplicable", "Running"]
Stage = Literal["Provisioning", "Indexing", "CatchingUp", "Evaluating", "WarmingUp", "Shifting", "Promoted"]
Outcome = Literal["Promoted", "Aborted", "Superseded", "Reverted", "RolledBack"]
Phase = Literal["Pending", "Indexing", "Ready", "RollingOut", "Degraded", "Suspended", "Failed"]


class Condition(Record):
    """A condition as everywhere in Kubernetes."""

    type: Annotated[str, Field(min_length=1, max_length=316, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """What the condition is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds. Unknown when the operator could not look."""
    observed_generation: Count | None = None
    """The generation of the spec that this is about."""
    last_transition_time: Timestamp
    """When status last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """Why, as a constant."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """Why, in a sentence."""


Conditions = Annotated[Items[Condition], Field(max_length=32), Keyed("type")]


class Gate(Record):
    """The result of a gate, with the numbers it was decided by."""

    name: Literal["Evaluation", "Analysis"]
    """Which gate."""
    result: GateResult
    """What it said."""
    metric: Name | None = None
    """The metric that decided."""
    stable: float | None = None
    """The metric of the stable revision."""
    candidate: float | None = None
    """The metric of the candidate."""
    difference: float | None = None
    """Relative difference, candidate to stable."""
    low: float | None = None
    """Lower end of the 95 % interval of the difference."""
    high: float | None = None
    """Upper end of the 95 % interval of the difference."""
    samples: Count | None = None
    """Questions or requests that it rests on."""
    numbers: Numbers | None = None
    """Further numbers, by name."""
    message: Text = ""
    """What it means, in a sentence."""


class Serving(Record):
    """A revision and what it is made of."""

    revision: Name
    """Name of the revision."""
    embedder: Name | None = None
    """Name of its embedder."""
    index: Name | None = None
    """Name of its index, a RAGIndex."""
    generator: Name | None = None
    """Name of its generator."""
    embedding_model: Text | None = None
    """Its embedding model, with revision and dimensions."""
    generator_model: Text | None = None
    """Its language model."""
    documents: Count | None = None
    """Documents in its index."""
    weight: Weight = 0
    """Percentage of the traffic that it answers."""
    since: Timestamp | None = None
    """When it took its present role."""


class CandidateStatus(Serving):
    """The revision that is being rolled out."""

    stage: Stage = "Provisioning"
    """How far it is."""
    started: Timestamp | None = None
    """When its rollout began."""
    step: Annotated[int, Field(ge=0, le=32)] = 0
    """The step of the canary that it is at; 0 is the first."""
    steps: Annotated[int, Field(ge=0, le=32)] = 0
    """Steps of the canary in all."""
    step_since: Timestamp | None = None
    """When the present step began."""
    waiting_for: Text = ""
    """What the annotation ragops.dev/promote must name to go on. Empty: nothing is waited for."""
    approved: Annotated[Items[Name], Field(max_length=40)] = ()
    """Steps and gates that were approved."""
    progress: Count = 0
    """Sum of documents, steps and ready pods so far; while it stays the same, time runs towards progressDeadline."""
    progress_since: Timestamp | None = None
    """When progress last grew; pauses, approvals and suspension push it forward."""
    evaluation_attempt: Annotated[int, Field(ge=0, le=1000)] = 0
    """How often evaluation was started."""
    gates: Annotated[Items[Gate], Field(max_length=4)] = ()
    """What the gates said."""
    held: Text = ""
    """Why it does not move, in words."""


class RetiredStatus(Serving):
    """The revision before, kept for rollback."""

    until: Timestamp | None = None
    """How long it is kept."""
    floors: Floors | None = None
    """The size that its components are kept at, by name."""
    cold: bool | None = None
    """Set while only its index is kept, out of memory."""


class LeavingStatus(Record):
    """A revision that lost its place and is taken away."""

    revision: Name
    """Name of the revision."""
    idle_at: Timestamp
    """When its pods are stopped."""
    why: Text = ""
    """Why it left."""


class Rejected(Record):
    """A revision that is not tried again by itself."""

    revision: Name
    """Name of the revision."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """Why, as a constant."""
    time: Timestamp | None = None
    """When."""


class Decision(Record):
    """How a rollout ended."""

    time: Timestamp
    """When."""
    revision: Name
    """Which revision it was about."""
    outcome: Outcome
    """How it ended."""
    reason: Annotated[str, Field(max_length=128)]
    """Why, as a constant."""
    message: Text = ""
    """Why, in a sentence."""
    numbers: Numbers | None = None
    """The numbers it was decided by."""


class Verb(Record):
    """A verb that was handled."""

    name: Literal["promote", "promote-full", "abort", "retry", "rollback", "reindex", "approve-deletions"]
    """The annotation, without its prefix."""
    value: Annotated[str, Field(max_length=512)]
    """Its value, which is handled once."""
    result: Literal["Done", "Refused"] = "Done"
    """What became of it."""
    message: Text = ""
    """Why it was refused."""


class Freshness(Record):
    """How the served index compares with the sources. When each was listed is in the RAGIndex."""

    state: Literal["Fresh", "Stale", "Unknown"]
    """Whether every source is within its maxStaleness."""
    stale_sources: Annotated[Items[Name], Field(max_length=32)] = ()
    """Sources that are not."""
    failed_documents: Count = 0
    """Documents that could not be indexed."""
    failed: Annotated[Items[Text], Field(max_length=10)] = ()
    """The first ten of them, with the reason."""
    deletions_held: Count = 0
    """Documents whose deletion waits for approval."""


class RAGPipelineStatus(Record):
    """What became of the spec."""

    observed_generation: Count | None = None
    """The generation of the spec that this status is about."""
    phase: Phase | None = None
    """Where the pipeline is, in one word."""
    message: Text = ""
    """Why, in one sentence."""
    stable: Serving | None = None
    """The revision that serves."""
    candidate: CandidateStatus | None = None
    """The revision that is being rolled out."""
    retired: RetiredStatus | None = None
    """The revision before, kept for rollback."""
    leaving: Annotated[Items[LeavingStatus], Field(max_length=16), Keyed("revision")] = ()
    """Revisions that are being taken away."""
    traffic: Annotated[str, Field(max_length=64)] | None = None
    """Percentages of stable and candidate, such as 95/5."""
    step: Annotated[str, Field(max_length=16)] | None = None
    """Step of the canary, such as 3/7."""
    gate: Gate | None = None
    """What the last gate said."""
    documents: Count | None = None
    """Documents in the index that serves."""
    freshness: Freshness | None = None
    """How the served index compares with the sources."""
    endpoint: Text | None = None
    """Where questions are asked."""
    epoch: Count | None = None
    """Version of the routing table that was written last."""
    salt: Annotated[str, Field(max_length=64)] | None = None
    """Decides, with a session, who sees the candidate; another one for each rollout."""
    reason: Annotated[str, Field(max_length=128)] | None = None
    """Reason of the condition that matters most."""
    upgrade_available: Annotated[str, Field(max_length=32)] | None = None
    """A newer runtime.version that this operator knows."""
    rejected: Annotated[Items[Rejected], Field(max_length=10), Keyed("revision")] = ()
    """Revisions that are not tried again, until the spec says something else or the verb retry is given."""
    decisions: Annotated[Items[Decision], Field(max_length=5)] = ()
    """How the last rollouts ended, newest first."""
    verbs: Annotated[Items[Verb], Field(max_length=16), Keyed("name")] = ()
    """The last value of each verb that was handled."""
    record: Annotated[str, Field(max_length=65536)] | None = None
    """What the operator must remember between passes, as JSON; not for people, and not part of this API."""
    conditions: Conditions = ()
    """Conditions, by type."""
