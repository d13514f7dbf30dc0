"""One index in Milvus, by pymilvus. The traps that shape it are told where they are stepped around."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from rag_runtime.contracts import collections as names
from rag_runtime.milvus import schema
from rag_runtime.milvus.batches import MAX_KEYS, batches, by_size
from rag_runtime.milvus.connection import CALL_SECONDS
from rag_runtime.milvus.errors import ClosedError, MissingError, NotOursError, RefusedError, UnavailableError, translated
from rag_runtime.milvus.port import Facts
from rag_runtime.milvus.rows import CHUNK_FIELDS, KEY_FIELDS, LEDGER_FIELDS, Chunk, LedgerRow
from rag_runtime.milvus.scan import MAX_PAGE_ROWS, Row, Span, chunk_span, in_parts, ledger_span, page_rows, scan
from rag_runtime.milvus.schema import Owner, Shape, literal_list

T = TypeVar("T")

LOAD_SECONDS = 600.0
# A server that restarts answers "not loaded" for some seconds; so long reads are repeated.
PATIENCE_SECONDS = 45.0
# By which an index on document ids can be made, newest first; the server says which it knows.
_DOCUMENT_INDEX_KINDS = ("INVERTED", "Trie")


class MilvusIndex:
    """An `IndexStore` on a client of its own. `sleep` and `clock` are parameters for tests of its patience."""

    def __init__(
        self,
        client: MilvusClient,
        name: str,
        *,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self.ledger = names.ledger_name(name)
        self._client = client
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    def create(self, shape: Shape, owner: Owner) -> None:
        """Make what is missing. Both collections carry the owner, so that each can be dropped by itself after a crash."""
        self._create(self.name, schema.chunk_schema(shape.dimensions), schema.vector_index(shape), shape.shards, owner)
        self._create(self.ledger, schema.ledger_schema(), schema.ledger_index(), 1, owner)
        self._index_documents()
        self.load(shape.replicas)

    def _create(self, name: str, fields: Any, index: Any, shards: int, owner: Owner) -> None:
        with translated(f"create collection {name}"):
            if not self._client.has_collection(name, timeout=CALL_SECONDS):
                self._client.create_collection(
                    name,
                    schema=fields,
                    num_shards=shards,
                    consistency_level="Bounded",
                    properties=owner.properties,
                    timeout=CALL_SECONDS,
                )
            _require_owner(name, self._properties(name), owner)
            if not self._client.list_indexes(name):
                self._client.create_index(name, index, timeout=LOAD_SECONDS)

    def _index_documents(self) -> None:
        with translated(f"index the documents of {self.name}"):
            if names.DOCUMENT in self._client.list_indexes(self.name):
                return
        for kind in _DOCUMENT_INDEX_KINDS:
            try:
                with translated("index by document"):
                    self._client.create_index(self.name, schema.document_index(kind), timeout=CALL_SECONDS)
                return
            except RefusedError:
                continue  # without one, finding a document's chunks reads a column: slower, not wrong

    def exists(self) -> bool:
        """Whether the collection of chunks is there."""
        with translated(f"look for collection {self.name}"):
            return bool(self._client.has_collection(self.name, timeout=CALL_SECONDS))

    def load(self, replicas: int = 1) -> list[str]:
        """Load both; a no-op where they are loaded. Milvus 2.3 refuses other replicas then; to release it would end searches."""
        self._load(self.ledger, 1)
        try:
            self._load(self.name, replicas)
        except RefusedError as error:
            if not self.facts().loaded:
                raise
            return [f"milvus.replicas stays what it was while the collection is loaded: {error}"]
        return []

    def release(self) -> None:
        """Release the chunks; nothing happens where they are not loaded."""
        self._load(self.ledger, 1)
        with translated(f"release collection {self.name}"):
            self._client.release_collection(self.name, timeout=CALL_SECONDS)

    def _load(self, name: str, replicas: int) -> None:
        with translated(f"load collection {name}"):
            self._client.load_collection(name, replica_number=replicas, timeout=LOAD_SECONDS)

    def facts(self) -> Facts:
        """Shards, index and load state as the server reports them."""
        with translated(f"describe collection {self.name}"):
            described = self._client.describe_collection(self.name, timeout=CALL_SECONDS)
            index = self._client.describe_index(self.name, names.VECTOR, timeout=CALL_SECONDS) or {}
            loaded = self._client.get_load_state(self.name, timeout=CALL_SECONDS)["state"] == LoadState.Loaded
        vector = next(field for field in described["fields"] if field["name"] == names.VECTOR)
        return Facts(
            shards=int(described.get("num_shards") or 1),
            dimensions=int(vector["params"]["dim"]),
            index_type=str(index.get("index_type", "")),
            metric=str(index.get("metric_type", "")),
            loaded=loaded,
            pending_rows=int(index.get("pending_index_rows") or 0),
            properties=dict(described.get("properties") or {}),
        )

    def insert_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Not repeated here: Milvus does not refuse a key that exists, so a blind second insert would make two rows of it."""
        for batch in by_size([chunk.to_row() for chunk in chunks]):
            with translated(f"insert into {self.name}"):
                self._client.insert(self.name, batch, timeout=CALL_SECONDS, retry_times=1)

    def rewrite_chunks(self, chunks: Sequence[Chunk]) -> None:
        """An upsert."""
        for batch in by_size([chunk.to_row() for chunk in chunks]):
            with translated(f"rewrite rows of {self.name}"):
                self._client.upsert(self.name, batch, timeout=CALL_SECONDS)

    def delete_chunks(self, keys: Sequence[str]) -> None:
        """By primary key: the one kind of deletion that every server knows."""
        self._delete(self.name, names.KEY, keys)

    def put_ledger(self, rows: Sequence[LedgerRow]) -> None:
        """An upsert by document."""
        for batch in by_size([row.to_row() for row in rows]):
            with translated(f"write the ledger {self.ledger}"):
                self._client.upsert(self.ledger, batch, timeout=CALL_SECONDS)

    def delete_ledger(self, documents: Sequence[str]) -> None:
        """By primary key."""
        self._delete(self.ledger, names.DOCUMENT, documents)

    def _delete(self, collection: str, key: str, values: Sequence[str]) -> None:
        """Not by the client's `ids`: it puts them between single quotes as they are, and a document's id may hold one."""
        for batch in batches(values):
            with translated(f"delete from {collection}"):
                self._client.delete(collection, filter=f"{key} in {literal_list(batch)}", timeout=CALL_SECONDS)

    def flush(self) -> None:
        """Both collections at once: 2.5 to 3.3 s each where segments are sealed."""

        def one(name: str) -> None:
            with translated(f"flush {name}"):
                self._client.flush(name, timeout=LOAD_SECONDS)

        with ThreadPoolExecutor(2, "flush") as threads:
            list(threads.map(one, (self.name, self.ledger)))

    def present(self, keys: Sequence[str]) -> set[str]:
        """Which of the keys are there."""
        return {row[names.KEY] for row in self._by_list(self.name, names.KEY, keys, [names.KEY])}

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of the documents, without vectors."""
        return [Chunk.from_row(row) for row in self._by_list(self.name, names.DOCUMENT, documents, CHUNK_FIELDS, per_call=64)]

    def keys_of(self, documents: Sequence[str]) -> list[str]:
        """The keys of all chunks of the documents."""
        return [row[names.KEY] for row in self._by_list(self.name, names.DOCUMENT, documents, KEY_FIELDS, per_call=64)]

    def chunks_by_key(self, keys: Sequence[str]) -> list[Chunk]:
        """The chunks with these keys, without vectors."""
        return [Chunk.from_row(row) for row in self._by_list(self.name, names.KEY, keys, CHUNK_FIELDS)]

    def with_vectors(self, keys: Sequence[str]) -> list[Chunk]:
        """The chunks with these keys, with vectors."""
        fields = [*CHUNK_FIELDS, names.VECTOR]
        return [Chunk.from_row(row) for row in self._by_list(self.name, names.KEY, keys, fields, per_call=512)]

    def ledger_of(self, documents: Sequence[str]) -> dict[str, LedgerRow]:
        """The ledger rows of the documents."""
        rows = self._by_list(self.ledger, names.DOCUMENT, documents, LEDGER_FIELDS, per_call=512)
        return {row[names.DOCUMENT]: LedgerRow.from_row(row) for row in rows}

    def scan_chunks(self, *, vectors: bool = False) -> Iterator[list[Chunk]]:
        """Every chunk, in pages."""
        fields = [*CHUNK_FIELDS, names.VECTOR] if vectors else CHUNK_FIELDS
        size = self.facts().dimensions * 4 if vectors else 0
        for page in self._scan(self.name, chunk_span(), fields, page_rows(size)):
            yield [Chunk.from_row(row) for row in page]

    def scan_keys(self) -> Iterator[list[tuple[str, str]]]:
        """(key, document) of every chunk, in pages."""
        for page in self._scan(self.name, chunk_span(), KEY_FIELDS, MAX_PAGE_ROWS):
            yield [(row[names.KEY], row[names.DOCUMENT]) for row in page]

    def scan_ledger(self, low: int = 0, high: int = names.BUCKETS) -> Iterator[list[LedgerRow]]:
        """Every document of some buckets, in pages."""
        for page in self._scan(self.ledger, ledger_span(low, high), LEDGER_FIELDS, MAX_PAGE_ROWS):
            yield [LedgerRow.from_row(row) for row in page]

    def count_chunks(self) -> int:
        """A Strong count."""
        return self._count(self.name, "")

    def drop(self, owner: Owner) -> bool:
        """Both collections are looked at before either is dropped; the ledger goes last, since it knows what there was."""
        found = [name for name in (self.name, self.ledger) if self._owned(name, owner)]
        for name in (*self._scratch(owner), *found):
            with translated(f"drop collection {name}"):
                self._client.drop_collection(name, timeout=CALL_SECONDS)
        return bool(found)

    def _scratch(self, owner: Owner) -> list[str]:
        # A probe that was killed could not take its own away.
        try:
            with translated("list collections"):
                listed = self._client.list_collections(timeout=CALL_SECONDS)
        except RefusedError:
            return []  # who may use an index need not be allowed to see what else there is
        return [name for name in listed if names.is_scratch(name, self.name) and self._left(name, owner)]

    def _left(self, name: str, owner: Owner) -> bool:
        try:
            return self._owned(name, owner)
        except NotOursError:
            return False

    def _owned(self, name: str, owner: Owner) -> bool:
        try:
            with translated(f"describe collection {name}"):
                properties = self._properties(name)
        except MissingError:
            return False
        _require_owner(name, properties, owner)
        return True

    def _properties(self, name: str) -> dict[str, str]:
        return dict(self._client.describe_collection(name, timeout=CALL_SECONDS).get("properties") or {})

    def _by_list(self, collection: str, field: str, values: Sequence[str], fields: Sequence[str], per_call: int = MAX_KEYS) -> list[Row]:
        found: list[Row] = []
        for batch in batches(values, per_call):
            condition = f"{field} in {literal_list(batch)}"
            if collection == self.ledger:  # its rows are small
                found += self._query(collection, condition, fields)
            else:
                found += in_parts(lambda part: self._query(collection, part, fields), condition, chunk_span())
        return found

    def _scan(self, collection: str, span: Span, fields: Sequence[str], rows: int) -> Iterator[list[Row]]:
        def query(condition: str, limit: int) -> list[Row]:
            return self._query(collection, condition, fields, limit=limit)

        return scan(query, lambda condition: self._count(collection, condition), span, rows)

    def _count(self, collection: str, condition: str) -> int:
        return int(self._query(collection, condition, ["count(*)"])[0]["count(*)"])

    def _query(self, collection: str, condition: str, fields: Sequence[str], **options: Any) -> list[Row]:
        def call() -> list[Row]:
            with translated(f"read {collection}"):
                found = self._client.query(
                    collection, filter=condition, output_fields=list(fields), consistency_level="Strong", timeout=CALL_SECONDS, **options
                )
                return list(found)

        return self._patiently(call)

    def _patiently(self, call: Callable[[], T]) -> T:
        deadline, pause = self._clock() + self._patience, 0.1
        while True:
            try:
                return call()
            except ClosedError:
                raise
            except UnavailableError:
                if self._clock() + pause > deadline:
                    raise
            self._sleep(pause)
            pause = min(pause * 2, 2.0)


def _require_owner(name: str, properties: dict[str, str], owner: Owner) -> None:
    for key, wanted in owner.properties.items():
        if properties.get(key) != wanted:
            raise NotOursError(f"collection {name} has {key}={properties.get(key)!r}, expected {wanted!r}: it belongs to somebody else")
