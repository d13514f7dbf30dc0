"""What an index is in Milvus: the schemas of its two collections, and index parameters by kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pymilvus import CollectionSchema, DataType, MilvusClient
from pymilvus.milvus_client.index import IndexParams

from rag_runtime.contracts import collections as names

IndexKind = Literal["hnsw", "ivfFlat", "ivfSq8", "ivfPq", "flat"]
Metric = Literal["COSINE", "IP", "L2"]

# Milvus' own limit of a VARCHAR, in bytes.
MAX_TEXT_BYTES = 65_535
MAX_TITLE_BYTES = 2_048
MAX_URI_BYTES = 8_192
MAX_METADATA_BYTES = 60_000
MAX_REASON_BYTES = MAX_TEXT_BYTES

_MILVUS_KINDS: Mapping[IndexKind, str] = {
    "hnsw": "HNSW",
    "ivfFlat": "IVF_FLAT",
    "ivfSq8": "IVF_SQ8",
    "ivfPq": "IVF_PQ",
    "flat": "FLAT",
}


@dataclass(frozen=True)
class Shape:
    """Dimensions, shards, metric and index of a collection of chunks. `parameters` are Milvus' own: `{"M": 16, ...}`."""

    dimensions: int
    shards: int = 1
    metric: Metric = "COSINE"
    kind: IndexKind = "hnsw"
    parameters: Mapping[str, int] = field(default_factory=dict)
    replicas: int = 1

    @property
    def milvus_kind(self) -> str:
        """The index type as Milvus calls it."""
        return _MILVUS_KINDS[self.kind]


@dataclass(frozen=True)
class Owner:
    """Whose a collection is. A drop compares all three with the collection's properties."""

    cluster: str
    namespace: str
    index: str

    @property
    def properties(self) -> dict[str, str]:
        """The owner as properties of a collection."""
        return {names.PROPERTY_CLUSTER: self.cluster, names.PROPERTY_NAMESPACE: self.namespace, names.PROPERTY_INDEX: self.index}


def chunk_schema(dimensions: int) -> CollectionSchema:
    """The collection of chunks."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(names.KEY, DataType.VARCHAR, max_length=names.CHUNK_KEY_LENGTH, is_primary=True)
    schema.add_field(names.DOCUMENT, DataType.VARCHAR, max_length=names.MAX_DOCUMENT_ID_BYTES)
    schema.add_field(names.TEXT, DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    for name in (names.ORDINAL, names.SPAN_START, names.SPAN_END):
        schema.add_field(name, DataType.INT64)
    schema.add_field(names.TITLE, DataType.VARCHAR, max_length=MAX_TITLE_BYTES)
    schema.add_field(names.URI, DataType.VARCHAR, max_length=MAX_URI_BYTES)
    schema.add_field(names.METADATA, DataType.JSON)
    # Empty for now; here from the start because a field cannot be added to a collection that is in use.
    schema.add_field(names.ACL, DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=1_024, max_length=256)
    schema.add_field(names.VECTOR, DataType.FLOAT_VECTOR, dim=dimensions)
    return schema


def ledger_schema() -> CollectionSchema:
    """The ledger: a row a document."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(names.DOCUMENT, DataType.VARCHAR, max_length=names.MAX_DOCUMENT_ID_BYTES, is_primary=True)
    schema.add_field(names.VERSION, DataType.VARCHAR, max_length=1_024)
    for name in (names.CONTENT_HASH, names.CHUNKS_DIGEST, names.STATE, names.RECIPE):
        schema.add_field(name, DataType.VARCHAR, max_length=64)
    schema.add_field(names.REASON, DataType.VARCHAR, max_length=MAX_REASON_BYTES)
    for name in (names.CHUNK_COUNT, names.ATTEMPTS, names.UPDATED, names.BUCKET):
        schema.add_field(name, DataType.INT64)
    schema.add_field(names.MARK, DataType.FLOAT_VECTOR, dim=2)
    return schema


def vector_index(shape: Shape) -> IndexParams:
    """The index of the vectors."""
    parameters = MilvusClient.prepare_index_params()
    parameters.add_index(
        names.VECTOR,
        index_type=shape.milvus_kind,
        index_name=names.VECTOR,
        metric_type=shape.metric,
        params=dict(shape.parameters),
    )
    return parameters


def ledger_index() -> IndexParams:
    """The ledger is never searched; a collection without an index cannot be loaded."""
    parameters = MilvusClient.prepare_index_params()
    parameters.add_index(names.MARK, index_type="FLAT", index_name=names.MARK, metric_type="L2", params={})
    return parameters


def document_index(kind: str) -> IndexParams:
    """An index by document, so that finding a document's chunks does not read them all. The kinds differ by server."""
    parameters = MilvusClient.prepare_index_params()
    parameters.add_index(names.DOCUMENT, index_type=kind, index_name=names.DOCUMENT)
    return parameters


def clipped(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8, cut between characters."""
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[:limit].decode(errors="ignore")


def literal_list(values: Any) -> str:
    """A list of strings in Milvus' expression language. Keys and document ids come from outside, so each is quoted."""
    return "[" + ",".join(literal(value) for value in values) + "]"


def literal(text: str) -> str:
    """A string literal in Milvus' expression language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
