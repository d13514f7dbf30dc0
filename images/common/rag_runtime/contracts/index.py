"""The kind `RAGIndex` as the indexer reads it. `spec` is the operator's; what an indexer writes is in `index_status`.

A reader ignores what it does not know, so that an operator one version newer can still be obeyed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rag_runtime.contracts.index_status import IndexStatus, Work
from rag_runtime.durations import Duration

GROUP = "ragops.dev"
VERSION = "v1alpha1"
PLURAL = "ragindexes"
LABEL_PIPELINE = "ragops.dev/pipeline"

_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")
_UNITS = {
    "m": 0.001,
    **{unit: 1000 ** (power + 1) for power, unit in enumerate(("k", "M", "G", "T", "P"))},
    **{unit: 1024 ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"))},
}


def _bytes(value: Any) -> Any:
    found = _QUANTITY.match(value) if isinstance(value, str) else None
    return int(float(found[1]) * _UNITS.get(found[2], 1)) if found else value


def _fraction(value: Any) -> Any:
    return float(value[:-1]) / 100 if isinstance(value, str) and value.endswith("%") else value


Bytes = Annotated[int, BeforeValidator(_bytes)]
Fraction = Annotated[float, BeforeValidator(_fraction), Field(ge=0, le=1)]


class _Read(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Named(_Read):
    """A Secret or ConfigMap of the same namespace."""

    name: str


class KeyOf(_Read):
    """One key of a Secret or ConfigMap."""

    name: str
    key: str


class S3Source(_Read):
    """Objects below a prefix of a bucket."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    credentials_secret_ref: Named | None = None


class ClaimSource(_Read):
    """Files below a directory of a volume, which is mounted at `pods.SOURCES_DIR`/<source name>."""

    claim_name: str = ""
    path: str = ""


class GitSource(_Read):
    """Files of a repository."""

    url: str
    ref: str = "main"
    path: str = ""
    credentials_secret_ref: Named | None = None


class SourceSpec(_Read):
    """A place that documents come from; exactly one kind is set."""

    name: str
    s3: S3Source | None = None
    pvc: ClaimSource | None = None
    git: GitSource | None = None
    config_map: Named | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    sync_interval: Duration = 300.0


class ChunkingSpec(_Read):
    """How a document is cut; lengths in tokens."""

    strategy: Literal["Recursive", "Fixed"] = "Recursive"
    max_tokens: int = 240
    overlap_tokens: int = 32


class MetadataFrom(_Read):
    """Where a field's value is found; exactly one is set."""

    front_matter: str | None = None
    json_field: str | None = None
    path_pattern: str | None = None


class MetadataSpec(_Read):
    """A declared metadata field."""

    name: str
    type: Literal["String", "Integer", "Number", "Boolean", "StringList"] = "String"
    from_: MetadataFrom = Field(alias="from")


class ContentSpec(_Read):
    """What makes the vectors what they are."""

    model: str
    revision: str = ""
    dimensions: int
    document_prefix: str | None = None
    chunking: ChunkingSpec = ChunkingSpec()
    embed_title: bool = False


class Hnsw(_Read):
    """Build parameters of a graph index."""

    m: int = Field(16, alias="M")
    ef_construction: int = 200


class Ivf(_Read):
    """Build parameters of the clustered indexes; `m` and `nbits` are IVF_PQ's."""

    nlist: int = 1_024
    m: int | None = None
    nbits: int | None = None


class VectorIndexSpec(_Read):
    """Kind, build parameters and metric; at most one kind is set, none means flat."""

    hnsw: Hnsw | None = None
    ivf_flat: Ivf | None = None
    ivf_sq8: Ivf | None = None
    ivf_pq: Ivf | None = None
    metric: Literal["COSINE", "IP", "L2"] = "COSINE"


class LayoutSpec(_Read):
    """What makes the collection what it is."""

    shards: int = 1
    index: VectorIndexSpec = VectorIndexSpec()


class IdentitySpec(_Read):
    """What the index is."""

    digest: str = ""
    content_digest: str = ""
    content: ContentSpec
    layout: LayoutSpec = LayoutSpec()


class EmbedderAccess(_Read):
    """How the embedder is reached."""

    url: str
    model: str
    dimensions: int
    max_input_tokens: int | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None
    credentials_secret_ref: Named | None = None


class TlsSpec(_Read):
    """TLS to the store."""

    ca_secret_ref: KeyOf | None = None
    server_name: str | None = None


class MilvusAccess(_Read):
    """How the store is reached."""

    address: str
    database: str = "default"
    credentials_secret_ref: Named | None = None
    tls: TlsSpec | None = None
    replicas: int = 1


class IndexSpec(_Read):
    """What an index is and what is to be done with it."""

    pipeline_ref: Named
    identity: IdentitySpec
    collection: str
    sources: tuple[SourceSpec, ...] = ()
    metadata_fields: tuple[MetadataSpec, ...] = ()
    max_delete_fraction: Fraction = 0.1
    max_document_size: Bytes = 32 * 1024 * 1024
    approved_deletions: str | None = None
    embedder: EmbedderAccess
    compare: tuple[EmbedderAccess, ...] = ()
    milvus: MilvusAccess
    work: Work
    collecting: bool = False


class Index(_Read):
    """One RAGIndex."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: IndexSpec
    status: IndexStatus | None = None

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.metadata.get("name", ""))

    @property
    def uid(self) -> str:
        """The object itself, whatever others had its name."""
        return str(self.metadata.get("uid", ""))

    @property
    def namespace(self) -> str:
        """Namespace of the object."""
        return str(self.metadata.get("namespace", ""))
