"""What this server can do, found out by trying it on a scratch collection: a version number says too little.

A capability that an index needs and the server lacks is refused in words (`require`); what is only ignored is listed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from pymilvus import MilvusClient

from rag_runtime.contracts import collections as names
from rag_runtime.milvus import schema
from rag_runtime.milvus.connection import CALL_SECONDS
from rag_runtime.milvus.errors import MilvusError, UnavailableError, UnsupportedError, translated
from rag_runtime.milvus.rows import Chunk
from rag_runtime.milvus.schema import Owner, Shape

_ROWS = 24


@dataclass(frozen=True)
class Capabilities:
    """What was seen to work."""

    server_version: str
    properties: bool  # a collection remembers whose it is
    strong_count: bool  # a Strong count sees the writes before it
    key_ranges: bool  # rows can be read by ranges of their key
    metadata_filter: bool
    acl_filter: bool
    shards: int  # how many of the wanted shards a collection really got
    index_kinds: frozenset[str]  # of those asked for
    hybrid_search: bool  # dense and lexical in one search, BM25 made by the server

    def missing(self, shape: Shape) -> list[str]:
        """What an index of this shape needs and the server lacks, in words."""
        needed = {
            "collection properties, without which nothing may be dropped": self.properties,
            "Strong counts": self.strong_count,
            "reads by key range": self.key_ranges,
            "filters over JSON metadata": self.metadata_filter,
            f"the index kind {shape.kind}": shape.milvus_kind in self.index_kinds,
        }
        return [f"Milvus {self.server_version} lacks {what}" for what, there in needed.items() if not there]

    def ignored(self, shape: Shape) -> list[str]:
        """What was asked for and is ignored by this server, in words."""
        if self.shards == shape.shards:
            return []
        return [f"shards: {shape.shards} asked for, Milvus {self.server_version} makes {self.shards}"]


def require(capabilities: Capabilities, shape: Shape) -> None:
    """Raise `UnsupportedError` that names everything that is missing."""
    if missing := capabilities.missing(shape):
        raise UnsupportedError("; ".join(missing))


def probe(client: MilvusClient, shape: Shape, collection: str, owner: Owner) -> Capabilities:
    """Try everything that `collection` will need on one beside it, which is gone afterwards. Seconds. Raises `MilvusError`.

    What a probe that is killed leaves is the owner's, and goes with `collection` (`IndexStore.drop`).
    """
    with _scratch(client, shape, collection, owner) as name:
        written = _written(client, name, shape.dimensions)
        return Capabilities(
            server_version=server_version(client),
            properties=_works(lambda: owner.properties.items() <= dict(client.describe_collection(name).get("properties") or {}).items()),
            strong_count=written and _works(lambda: _count(client, name, "") == _ROWS),
            key_ranges=written and _works(lambda: _count(client, name, f'{names.KEY} >= "08" and {names.KEY} < "10"') == 2),
            metadata_filter=written and _works(lambda: _count(client, name, f'{names.METADATA}["part"] == 1') == _ROWS // 2),
            acl_filter=written and _works(lambda: _count(client, name, f'array_contains({names.ACL}, "b")') == _ROWS // 2),
            shards=_shards(client, name),
            index_kinds=frozenset({shape.milvus_kind} if _indexed(client, name, shape) else ()),
            hybrid_search=_knows_lexical_fields(client, collection, owner),
        )


def server_version(client: MilvusClient) -> str:
    """What the server calls itself."""
    with translated("ask for the server's version"):
        return str(client.get_server_version(timeout=CALL_SECONDS))


@contextlib.contextmanager
def _scratch(client: MilvusClient, shape: Shape, collection: str, owner: Owner) -> Iterator[str]:
    name = names.scratch_name(collection)
    try:
        with translated("make a scratch collection"):
            client.create_collection(
                name,
                schema=schema.chunk_schema(shape.dimensions),
                num_shards=shape.shards,
                properties=owner.properties,
                timeout=CALL_SECONDS,
            )
            flat = schema.vector_index(Shape(shape.dimensions, metric=shape.metric, kind="flat"))
            client.create_index(name, flat, timeout=CALL_SECONDS)
            client.load_collection(name, timeout=CALL_SECONDS)
        yield name
    finally:
        _dropped(client, name)


def _written(client: MilvusClient, name: str, dimensions: int) -> bool:
    vector = np.full(dimensions, 0.5, np.float32)
    chunks = [
        Chunk(f"{number:02d}", "probe", "text", number, 0, 4, metadata={"part": number % 2}, acl=("ab"[number % 2],), vector=vector)
        for number in range(_ROWS)
    ]
    return _works(lambda: bool(client.insert(name, [chunk.to_row() for chunk in chunks], timeout=CALL_SECONDS)))


def _shards(client: MilvusClient, name: str) -> int:
    with translated("describe a scratch collection"):
        return int(client.describe_collection(name).get("num_shards") or 1)


def _indexed(client: MilvusClient, name: str, shape: Shape) -> bool:
    """Another index needs a collection that is not loaded."""

    def call() -> bool:
        client.release_collection(name, timeout=CALL_SECONDS)
        client.drop_index(name, names.VECTOR, timeout=CALL_SECONDS)
        client.create_index(name, schema.vector_index(shape), timeout=CALL_SECONDS)
        return str(client.describe_index(name, names.VECTOR).get("index_type", "")) == shape.milvus_kind

    return _works(call)


def _knows_lexical_fields(client: MilvusClient, collection: str, owner: Owner) -> bool:
    from pymilvus import DataType, Function, FunctionType

    name = names.scratch_name(collection)

    def call() -> bool:
        fields = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        fields.add_field("id", DataType.INT64, is_primary=True)
        fields.add_field("text", DataType.VARCHAR, max_length=1_000, enable_analyzer=True)
        fields.add_field("terms", DataType.SPARSE_FLOAT_VECTOR)
        fields.add_function(
            Function(name="bm25", input_field_names=["text"], output_field_names=["terms"], function_type=FunctionType.BM25)
        )
        client.create_collection(name, schema=fields, properties=owner.properties, timeout=CALL_SECONDS)
        # A server that does not know functions may take the schema and forget them.
        return bool(client.describe_collection(name, timeout=CALL_SECONDS).get("functions"))

    try:
        return _works(call)
    finally:
        _dropped(client, name)


def _dropped(client: MilvusClient, name: str) -> None:
    with contextlib.suppress(MilvusError), translated("drop a scratch collection"):
        client.drop_collection(name, timeout=CALL_SECONDS)


def _count(client: MilvusClient, name: str, condition: str) -> int:
    rows = client.query(name, filter=condition, output_fields=["count(*)"], consistency_level="Strong", timeout=CALL_SECONDS)
    return int(rows[0]["count(*)"])


def _works(attempt: Callable[[], bool]) -> bool:
    """Whether it does; a server that is away is no answer and raises."""
    try:
        with translated("probe the server"):
            return attempt()
    except UnavailableError:
        raise
    except MilvusError:
        return False
