"""What indexers are told to do with an index, and `RAGIndexStatus`: what they report."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from rag_operator.api.base import Items, Record
from rag_operator.api.rules import Distinct, Keyed, Rule
from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.common import Dimensions
from rag_operator.api.v1alpha1.status import Conditions, Count, Name, Text

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
CollectionName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(ge=0, le=10_000_000)]
Mode = Literal["Build", "Sync", "Copy", "Stop", "Drop"]


class CopyFrom(Record):
    """The index to copy chunks and vectors from."""

    index: Name
    """Name of the RAGIndex."""
    collection: CollectionName
    """Its collection."""
    dimensions: Dimensions
    """Length of its vectors; when longer than this index's, they are truncated and normalised."""


class Work(Record):
    """What indexers should do now."""

    # One value: two indexers that say it in turn must not leave a mixture of both behind.
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.mode == 'Copy') == has(self.from)",
            "from belongs to mode Copy, which needs it",
            lambda self: (self.mode == "Copy") == (self.from_ is not None),
            path=".from",
        ),
    )

    mode: Mode
    """Build fills a new index from the sources, Copy from another index; Sync keeps it up to date; Stop lets go; Drop removes it."""
    from_: Annotated[CopyFrom | None, Field(alias="from")] = None
    """What Copy copies."""
    attempt: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Counts Builds, Copies and Drops of this index, and how often it went cold."""
    cold_until: Timestamp | None = None
    """With Sync: the collection is released from memory and only deletions are applied, until then at most."""


class Build(Record):
    """How far a build or a copy is."""

    documents: Count
    """Documents done."""
    chunks: Count
    """Chunks written."""
    total: Count | None = None
    """Documents in all, once they are listed."""
    failed: Count = 0
    """Documents that could not be indexed."""
    embedded: Count = 0
    """Texts that were embedded; a copy embeds none."""
    rate: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Documents a second, lately."""
    start_time: Timestamp
    """When it began."""
    completion_time: Timestamp | None = None
    """When it ended."""
    message: Text = ""
    """What stops it."""


class Listing(Record):
    """A complete listing of a source, or of all of them, that the index has applied."""

    id: Annotated[str, Field(max_length=128)]
    """Id of the listing, the same for every index that applied it."""
    start_time: Timestamp
    """When it began: the index holds everything that was there then."""
    duration: Seconds | None = None
    """How long listing and applying took, in seconds."""


class SourceSync(Record):
    """How fresh one source is in this index."""

    name: Name
    """Name of the source."""
    listing: Listing | None = None
    """The last listing that is fully applied."""
    documents: Count = 0
    """Documents of the source in the index."""
    error: Text | None = None
    """Why the last listing failed."""


class FailedDocument(Record):
    """A document that could not be indexed."""

    id: Annotated[str, Field(max_length=1024)]
    """Id of the document."""
    reason: Text
    """Why."""
    attempts: Count = 1
    """How often it was tried."""


class DeletionHeld(Record):
    """Deletions that wait for approval."""

    listing: Annotated[str, Field(max_length=128)]
    """The listing that lacks the documents."""
    documents: Count
    """Documents that it lacks."""
    of: Count
    """Documents that the index holds."""


class Sync(Record):
    """How the index follows its sources."""

    listing: Listing | None = None
    """The oldest of the sources' last fully applied listings."""
    sources: Annotated[Items[SourceSync], Field(max_length=32), Keyed("name")] = ()
    """Each source by itself."""
    documents: Count = 0
    """Documents in the index."""
    chunks: Count = 0
    """Chunks in the index."""
    embedded: Count = 0
    """Texts embedded since the syncer started."""
    failed: Annotated[Items[FailedDocument], Field(max_length=10)] = ()
    """Documents that could not be indexed, at most ten."""
    failed_count: Count = 0
    """How many there are in all."""
    deletion_held: DeletionHeld | None = None
    """Deletions that wait for approval."""
    oldest_pending: Timestamp | None = None
    """Since when the oldest change waits to be indexed."""


class EmbedderSeen(Record):
    """One embedder, compared with the index."""

    url: Annotated[str, Field(max_length=2048)]
    """Address of its API."""
    probes: Literal["Equal", "Different", "Unknown"] = "Unknown"
    """Whether its probe vectors equal the index's."""
    model_fingerprint: Annotated[str, Field(max_length=128)] | None = None
    """Fingerprint of its model."""


class Observed(Record):
    """What the store and the embedder say about themselves."""

    model_fingerprint: Annotated[str, Field(max_length=128)] | None = None
    """Fingerprint of the model that made the vectors."""
    probes: Literal["Equal", "Different", "Unknown"] = "Unknown"
    """Whether the embedder's probe vectors equal the index's."""
    embedders: Annotated[Items[EmbedderSeen], Field(max_length=5)] = ()
    """Each embedder by itself: the one that fills the index, and those it is compared with."""
    model_token_limit: Count | None = None
    """Longest text of the model, in tokens."""
    shards: Count | None = None
    """Shards of the collection."""
    index_type: Annotated[str, Field(max_length=64)] | None = None
    """Kind of the vector index."""
    metric: Annotated[str, Field(max_length=32)] | None = None
    """Metric of the vector index."""
    loaded: bool = False
    """Whether the collection can be searched."""
    pending_rows: Count | None = None
    """Rows that are not indexed yet."""
    parser: Annotated[str, Field(max_length=32)] | None = None
    """Protocol number of the parser that made the chunks."""
    server_version: Annotated[str, Field(max_length=64)] | None = None
    """Version of Milvus."""
    ignored: Annotated[Items[Text], Field(max_length=16), Distinct()] = ()
    """Settings that the server ignored or refused, in words."""


class MetricResult(Record):
    """One metric of an evaluation."""

    name: Annotated[str, Field(max_length=64)]
    """Name of the metric."""
    stable: float | None = None
    """Value for stable."""
    candidate: float | None = None
    """Value for the candidate."""


class EvaluationResult(Record):
    """Numbers of an evaluation. The operator decides what they mean."""

    id: Annotated[str, Field(max_length=253)]
    """Name of the Job that made it."""
    stable: Name
    """Revision compared with."""
    candidate: Name
    """Revision compared."""
    metric: Annotated[str, Field(max_length=16)]
    """The metric that decides."""
    questions: Count
    """Questions that both answered."""
    errors: Count = 0
    """Questions that one of them did not answer in full."""
    errors_stable: Count = 0
    """Questions that stable did not answer in full."""
    errors_candidate: Count = 0
    """Questions that the candidate did not answer in full."""
    mean_stable: float | None = None
    """Mean of the metric for stable."""
    mean_candidate: float | None = None
    """Mean of the metric for the candidate."""
    difference: float | None = None
    """Mean paired difference over stable's mean."""
    low: float | None = None
    """Lower end of its 95 % interval."""
    high: float | None = None
    """Upper end of its 95 % interval."""
    judged_stable: float | None = None
    """Share of stable's first ten that are judged."""
    judged_candidate: float | None = None
    """Share of the candidate's first ten that are judged."""
    metrics: Annotated[Items[MetricResult], Field(max_length=16), Keyed("name")] = ()
    """Further metrics, which do not decide."""
    listing: Annotated[str, Field(max_length=128)] | None = None
    """The listing that both indexes had applied."""
    message: Text = ""
    """Why there are no numbers."""
    completion_time: Timestamp | None = None
    """When it ended."""


class RAGIndexStatus(Record):
    """What indexers report, and the conditions that the operator derives from it."""

    acknowledged: Work | None = None
    """The work that indexers are doing, or have done."""
    completed: Work | None = None
    """The last work that indexers have done."""
    build: Build | None = None
    """How far a build or a copy is."""
    sync: Sync | None = None
    """How the index follows its sources."""
    observed: Observed | None = None
    """What the store and the embedder say about themselves."""
    evaluations: Annotated[Items[EvaluationResult], Field(max_length=4), Keyed("id")] = ()
    """Results of evaluations of this index as candidate."""
    conditions: Conditions = ()
    """Ready, CaughtUp and Fresh, derived by the operator."""
