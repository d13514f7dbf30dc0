"""What the port promises, on every server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from rag_runtime.milvus.errors import MilvusError, MissingError, NotOursError, TooLargeError, UnavailableError
from rag_runtime.milvus.rows import Chunk, LedgerRow
from rag_runtime.milvus.scan import Row
from rag_runtime.milvus.schema import Owner, Shape
from rag_runtime.milvus.store import MilvusIndex

OWNER = Owner("cluster-1", "search", "handbook-index-1")
AWKWARD = ['s/"quoted"', "s/back\\slash", "s/ünï/日本", "s/new\nline", "s/it's", "s/%20tab\t", "s/{braces}", 's/" or document like "%']


def chunks_for(document: str, count: int = 3) -> list[Chunk]:
    return [chunk_for(document, number) for number in range(count)]


def chunk_for(document: str, number: int) -> Chunk:
    digest = hashlib.sha256(f"{document}\0{number}".encode())
    vector = np.random.default_rng(digest.digest()[0]).standard_normal(8).astype(np.float32)
    return Chunk(
        digest.hexdigest()[:32],
        document,
        f"text {number}",
        number,
        10 * number,
        10 * number + 9,
        "A title",
        "file:///x",
        {"n": number},
        vector=vector,
    )


def test_a_chunk_comes_back_as_it_was_written(shared: MilvusIndex) -> None:
    written = chunk_for("roundtrip/a", 1)
    shared.insert_chunks([written])
    (found,) = shared.with_vectors([written.key])
    assert replace(found, vector=None) == replace(written, vector=None)
    assert found.vector is not None
    assert np.allclose(found.vector, written.vector, atol=1e-6)


@pytest.mark.parametrize("document", AWKWARD)
def test_a_document_id_with_special_characters_finds_its_own_chunks_only(shared: MilvusIndex, document: str) -> None:
    shared.insert_chunks(chunks_for(document))
    assert {chunk.key for chunk in shared.chunks_of([document])} == {chunk.key for chunk in chunks_for(document)}
    shared.put_ledger([LedgerRow(document, "v1", "done")])
    assert shared.ledger_of([document])[document].version == "v1"


def test_a_document_id_with_special_characters_is_deleted_from_the_ledger_alone(shared: MilvusIndex) -> None:
    others = ["deleting/a", "deleting/b"]
    awkward = [*AWKWARD, f"s/x','{others[0]}"]
    shared.put_ledger([LedgerRow(document, "v1", "done") for document in (*others, *awkward)])
    for document in awkward:
        shared.delete_ledger([document])
    assert sorted(shared.ledger_of([*others, *awkward])) == others


def test_what_is_too_large_at_once_is_read_in_parts(shared: MilvusIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [chunk for document in ("parts/a", "parts/b") for chunk in chunks_for(document, 40)]
    shared.insert_chunks(chunks)
    unlimited = shared._query

    def query(collection: str, condition: str, fields: Sequence[str], **options: Any) -> list[Row]:
        found = unlimited(collection, condition, fields, **options)
        if len(found) > 10:
            raise TooLargeError("more than ten rows")
        return found

    keys = sorted(chunk.key for chunk in chunks)
    everything = sorted(key for page in shared.scan_keys() for key, _ in page)
    monkeypatch.setattr(shared, "_query", query)
    assert sorted(chunk.key for chunk in shared.chunks_of(["parts/a", "parts/b"])) == keys
    assert sorted(shared.keys_of(["parts/a", "parts/b"])) == keys
    assert sorted(chunk.key for chunk in shared.with_vectors(keys)) == keys
    assert sorted(chunk.key for page in shared.scan_chunks() for chunk in page) == everything


def test_reads_see_the_writes_before_them(shared: MilvusIndex) -> None:
    chunks = chunks_for("strong/a", 50)
    for round_number in range(3):
        shared.insert_chunks(chunks)
        assert shared.present([chunk.key for chunk in chunks]) == {chunk.key for chunk in chunks}, f"inserted, round {round_number}"
        shared.delete_chunks([chunk.key for chunk in chunks])
        assert shared.present([chunk.key for chunk in chunks]) == set(), f"deleted, round {round_number}"


def test_a_rewritten_chunk_is_replaced_and_not_doubled(shared: MilvusIndex) -> None:
    chunks = chunks_for("rewrite/a")
    shared.insert_chunks(chunks)
    shared.rewrite_chunks([replace(chunk, title="Another") for chunk in chunks])
    found = shared.chunks_by_key([chunk.key for chunk in chunks])
    assert [chunk.title for chunk in found] == ["Another"] * 3


def test_a_ledger_row_is_replaced_by_document(shared: MilvusIndex) -> None:
    shared.put_ledger([LedgerRow("ledger/a", "v1", "writing")])
    shared.put_ledger([LedgerRow("ledger/a", "v2", "done", chunk_count=3, reason="none", attempts=2, updated=7, recipe="r")])
    assert shared.ledger_of(["ledger/a", "ledger/none"]) == {
        "ledger/a": LedgerRow("ledger/a", "v2", "done", chunk_count=3, reason="none", attempts=2, updated=7, recipe="r")
    }
    shared.delete_ledger(["ledger/a"])
    assert shared.ledger_of(["ledger/a"]) == {}


def test_scans_find_every_row_once_right_after_writes(client: MilvusClient) -> None:
    index = MilvusIndex(client, "contract_scan")
    index.create(Shape(dimensions=8, shards=2, parameters={"M": 16, "efConstruction": 100}), OWNER)
    try:
        chunks = [chunk for number in range(300) for chunk in chunks_for(f"scan/{number}", 6)]
        rows = [LedgerRow(f"scan/{number}", "v", "done") for number in range(300)]
        index.insert_chunks(chunks)
        index.put_ledger([*rows, LedgerRow(".meta", "", "meta")])
        index.delete_chunks([chunk.key for chunk in chunks[:60]])
        index.rewrite_chunks(chunks[60:90])
        expected = sorted((chunk.key, chunk.document) for chunk in chunks[60:])
        assert sorted(row for page in index.scan_keys() for row in page) == expected
        assert sorted(chunk.key for page in index.scan_chunks(vectors=True) for chunk in page) == [key for key, _ in expected]
        assert sorted(row.document for page in index.scan_ledger() for row in page) == sorted(row.document for row in rows)
        halves = [{row.document for page in index.scan_ledger(*span) for row in page} for span in ((0, 512), (512, 1024))]
        assert not halves[0] & halves[1]
        assert len(halves[0] | halves[1]) == 300
    finally:
        index.drop(OWNER)


def test_flushed_rows_are_still_there(shared: MilvusIndex) -> None:
    chunks = chunks_for("flush/a", 20)
    shared.insert_chunks(chunks)
    shared.flush()
    assert shared.present([chunk.key for chunk in chunks]) == {chunk.key for chunk in chunks}


def test_creating_twice_finds_what_is_there(shared: MilvusIndex) -> None:
    shared.insert_chunks(chunks_for("twice/a"))
    before = shared.count_chunks()
    shared.create(Shape(dimensions=8, shards=2, parameters={"M": 16, "efConstruction": 100}), OWNER)
    assert shared.count_chunks() == before


@pytest.mark.parametrize(
    "other",
    [replace(OWNER, cluster="cluster-2"), replace(OWNER, namespace="other"), replace(OWNER, index="handbook-index-2")],
    ids=["another cluster", "another namespace", "another index"],
)
def test_what_belongs_to_somebody_else_is_neither_dropped_nor_taken_over(shared: MilvusIndex, other: Owner) -> None:
    with pytest.raises(NotOursError, match="belongs to somebody else"):
        shared.drop(other)
    with pytest.raises(NotOursError):
        shared.create(Shape(dimensions=8), other)
    assert shared.exists()


def test_a_collection_without_our_properties_is_not_dropped(client: MilvusClient) -> None:
    client.create_collection("somebodys", dimension=4)
    try:
        with pytest.raises(NotOursError):
            MilvusIndex(client, "somebodys").drop(OWNER)
        assert client.has_collection("somebodys")
    finally:
        client.drop_collection("somebodys")


def test_dropping_removes_both_collections_and_may_be_repeated(client: MilvusClient) -> None:
    index = MilvusIndex(client, "contract_drop")
    index.create(Shape(dimensions=8, kind="flat"), OWNER)
    client.drop_collection("contract_drop")  # a drop that died half-way
    assert index.drop(OWNER)
    assert not client.has_collection("contract_drop_docs")
    assert not index.drop(OWNER)


def test_a_missing_collection_is_said_to_be_missing(client: MilvusClient) -> None:
    with pytest.raises(MissingError):
        MilvusIndex(client, "contract_nowhere").count_chunks()


def test_facts_are_what_was_asked_for(shared: MilvusIndex) -> None:
    facts = shared.facts()
    assert (facts.dimensions, facts.index_type, facts.metric, facts.loaded) == (8, "HNSW", "COSINE", True)
    assert facts.properties["ragops.index"] == "handbook-index-1"


def test_a_number_of_replicas_that_a_loaded_collection_is_refused_leaves_it_as_it_is(
    shared: MilvusIndex, request: pytest.FixtureRequest
) -> None:
    refused = shared.load(2)
    assert [line.split(":")[0] for line in refused] == (
        [] if "milvus-lite" in request.node.name else ["milvus.replicas stays what it was while the collection is loaded"]
    )
    assert shared.facts().loaded
    assert shared.load(1) == []


def test_what_is_released_cannot_be_read_until_it_is_loaded_but_its_ledger_can(client: MilvusClient) -> None:
    store = MilvusIndex(client, "contract_cold")
    store.create(Shape(dimensions=8, parameters={"M": 16, "efConstruction": 100}), OWNER)
    store.insert_chunks([*chunks_for("cold/a"), *chunks_for("cold/b")])
    store.put_ledger([LedgerRow("cold/a", "v1", "done"), LedgerRow("cold/b", "v1", "done")])
    store.release()
    store.release()
    assert not store.facts().loaded
    with pytest.raises(MilvusError):
        MilvusIndex(client, "contract_cold", patience=0.2).keys_of(["cold/a"])  # a server that has just loaded it needs more
    assert set(store.ledger_of(["cold/a", "cold/b"])) == {"cold/a", "cold/b"}
    store.load()
    assert store.facts().loaded
    store.delete_chunks(store.keys_of(["cold/a"]))
    store.release()
    store.load()
    assert {chunk.document for page in store.scan_chunks() for chunk in page} == {"cold/b"}
    store.drop(OWNER)


def test_nobody_listening_is_unavailable_within_the_time_given() -> None:
    from rag_runtime.milvus.connection import Target, connect

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1\b"):
        connect(Target("127.0.0.1:1"), timeout=1)
