"""The kind `RAGIndex`: the contract between the operator, which writes `spec`, and the indexers, which write `status`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from rag_operator.api.base import Items, Record
from rag_operator.api.rules import Keyed, Rule
from rag_operator.api.scalars import Percentage, Quantity
from rag_operator.api.v1alpha1.common import Dimensions, HostPort, HttpUrl, SecretRef
from rag_operator.api.v1alpha1.documents import Chunking, MetadataField, Source
from rag_operator.api.v1alpha1.index_status import CollectionName, Digest, RAGIndexStatus, Work
from rag_operator.api.v1alpha1.models import ModelName, Prompt, Revision
from rag_operator.api.v1alpha1.status import Name
from rag_operator.api.v1alpha1.store import Tls, VectorIndex

__all__ = ["RAGIndex", "RAGIndexSpec", "RAGIndexStatus", "Work"]


class PipelineRef(Record):
    """The pipeline that an index belongs to."""

    name: Name
    """Name of the RAGPipeline."""
    uid: Annotated[str, Field(max_length=64)]
    """UID of the RAGPipeline."""


class ContentIdentity(Record):
    """What makes the vectors what they are."""

    model: ModelName
    """Declared embedding model."""
    revision: Revision
    """Its declared version."""
    dimensions: Dimensions
    """Length of the vectors."""
    document_prefix: Prompt | None = None
    """Put before a chunk. Unset: the model's own prompt."""
    chunking: Chunking
    """How documents are cut."""
    embed_title: bool
    """Whether the title is embedded with each chunk."""
    reindex: Annotated[str, Field(max_length=512)] | None = None
    """Value of the verb reindex that made this index."""


class LayoutIdentity(Record):
    """What makes the collection what it is."""

    shards: Annotated[int, Field(ge=1, le=16)]
    """Number of shards."""
    index: VectorIndex
    """Kind, build parameters and metric of the vector index."""


class IndexIdentity(Record):
    """What the index is; it never changes."""

    digest: Digest
    """SHA-256 over content and layout."""
    content_digest: Digest
    """SHA-256 over content alone: indexes with the same one hold the same vectors."""
    content: ContentIdentity
    """What makes the vectors what they are."""
    layout: LayoutIdentity
    """What makes the collection what it is."""


class EmbedderAccess(Record):
    """How indexers reach the embedder."""

    url: HttpUrl
    """Address of the API; /embeddings is added."""
    model: ModelName
    """Name of the model in requests."""
    dimensions: Dimensions
    """Length of the vectors to ask for."""
    max_input_tokens: Annotated[int, Field(ge=16, le=1_048_576)] | None = None
    """Longest text, where the endpoint does not report it."""
    query_prefix: Prompt | None = None
    """Put before a question. Unset: the model's own."""
    document_prefix: Prompt | None = None
    """Put before a chunk. Unset: the model's own."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with the key apiKey."""


class MilvusAccess(Record):
    """How indexers reach the store."""

    address: HostPort
    """host:port of the gRPC service."""
    database: Annotated[str, Field(max_length=255)] = "default"
    """Database that holds the collections."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with username and password, or with token."""
    tls: Tls | None = None
    """TLS to the server. Unset: none."""
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    """How many copies are held in memory."""


class RAGIndexSpec(Record):
    """What an index is and what is to be done with it. Written by the operator alone."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.identity == oldSelf.identity && self.collection == oldSelf.collection",
            "identity and collection never change: another identity is another RAGIndex",
            path=".identity",
        ),
        Rule(
            "!oldSelf.collecting || self.collecting",
            "an index that is being collected is never wanted again: it is built anew under another name",
            path=".collecting",
        ),
    )

    pipeline_ref: PipelineRef
    """The pipeline it belongs to."""
    identity: IndexIdentity
    """What the index is."""
    collection: CollectionName
    """Name of the collection of chunks; the ledger's is this followed by _docs."""
    sources: Annotated[Items[Source], Field(min_length=1, max_length=32), Keyed("name")]
    """Where documents come from."""
    metadata_fields: Annotated[Items[MetadataField], Field(max_length=32)] = ()
    """Fields by which answers can be filtered."""
    max_delete_fraction: Percentage = Percentage("10%")
    """If a listing lacks more than this share of the documents, nothing is deleted until it is approved."""
    max_document_size: Quantity = Quantity("32Mi")
    """Longer documents fail with a reason."""
    approved_deletions: Annotated[str, Field(max_length=512)] | None = None
    """Value of the verb approve-deletions; each value approves the deletions that were held when it was given."""
    embedder: EmbedderAccess
    """How indexers reach the embedder that fills it."""
    compare: Annotated[Items[EmbedderAccess], Field(max_length=4)] | None = None
    """Further embedders whose revisions share it: their probe vectors are compared with the index's, nothing else."""
    milvus: MilvusAccess
    """How indexers reach the store."""
    work: Work
    """What indexers should do now."""
    collecting: bool = False
    """Whether the index is being removed. Irrevocable."""


class RAGIndex(Record):
    """One index of a pipeline: made by the operator, filled by indexers, read by people."""

    api_version: str = "ragops.dev/v1alpha1"
    """ragops.dev/v1alpha1"""
    kind: str = "RAGIndex"
    """RAGIndex"""
    metadata: dict[str, Any]
    """Standard metadata."""
    spec: RAGIndexSpec
    """What the index is and what is to be done with it."""
    status: RAGIndexStatus | None = None
    """What indexers report."""
