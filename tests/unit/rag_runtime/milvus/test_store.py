"""Reads from a server that gives no answer of more than so many bytes, and loading where it refuses."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pymilvus.exceptions import MilvusException

from rag_runtime.milvus.errors import RefusedError, TooLargeError
from rag_runtime.milvus.store import MilvusIndex

DOCUMENTS = [f"docs/{number}" for number in range(20)]


class Stingy:
    """A client of a server with chunks of `DOCUMENTS`, `each` of a document, of 1,000 bytes."""

    def __init__(self, limit: int, each: int = 50) -> None:
        self._limit = limit
        self.refused = 0
        self.rows = [self._row(document, ordinal) for document in DOCUMENTS for ordinal in range(each)]

    def _row(self, document: str, ordinal: int) -> dict[str, Any]:
        key = hashlib.sha256(f"{document} {ordinal}".encode()).hexdigest()[:32]
        values = {"key": key, "document": document, "text": "x" * 1_000, "ordinal": ordinal, "span_start": 0, "span_end": 0}
        return {**values, "title": "", "uri": "", "metadata": {}, "acl": []}

    def query(self, _: str, *, filter: str, output_fields: Sequence[str], limit: int | None = None, **__: Any) -> list[dict[str, Any]]:
        conditions = _parsed(filter)
        found = [row for row in self.rows if all(meets(row) for meets in conditions)]
        if output_fields == ["count(*)"]:
            return [{"count(*)": len(found)}]
        answer = [{name: row[name] for name in output_fields} for row in found[:limit]]
        if sum(len(str(value)) for row in answer for value in row.values()) > self._limit:
            self.refused += 1
            raise MilvusException(65535, "fail to Query on QueryNode 1: query results exceed the maxOutputSize Limit 104857600")
        return answer


def _parsed(condition: str) -> list[Callable[[dict[str, Any]], bool]]:
    parts = [re.fullmatch(r"(\w+) (in|>=|<) (.*)", part) for part in condition.split(" and ")]
    return [_meeting(part[1], part[2], json.loads(part[3])) for part in parts if part]


def _meeting(name: str, operator: str, value: Any) -> Callable[[dict[str, Any]], bool]:
    if operator == "in":
        among = set(value)
        return lambda row: row[name] in among
    return lambda row: bool(row[name] >= value) if operator == ">=" else bool(row[name] < value)


def index(client: Any) -> MilvusIndex:
    return MilvusIndex(client, "x")


@pytest.mark.parametrize("limit", [1_500, 20_000, 200_000], ids=["a row at a time", "less than a document", "a few documents"])
def test_documents_that_are_too_large_together_or_alone_are_read_in_parts(limit: int) -> None:
    client = Stingy(limit, each=5 if limit < 2_000 else 50)
    found = index(client).chunks_of(DOCUMENTS[:10])
    assert sorted(chunk.key for chunk in found) == sorted(row["key"] for row in client.rows if row["document"] in DOCUMENTS[:10])
    assert client.refused


def test_chunks_that_are_too_large_together_are_read_in_parts() -> None:
    client = Stingy(20_000)
    keys = [row["key"] for row in client.rows]
    assert {chunk.key for chunk in index(client).chunks_by_key(keys)} == set(keys)


def test_keys_are_had_where_the_chunks_are_too_large() -> None:
    client = Stingy(200_000)
    assert sorted(index(client).keys_of(DOCUMENTS)) == sorted(row["key"] for row in client.rows)
    assert client.refused == 0


def test_a_page_that_is_too_large_is_halved() -> None:
    client = Stingy(20_000)
    pages = list(index(client).scan_chunks())
    assert sorted(chunk.key for page in pages for chunk in page) == sorted(row["key"] for row in client.rows)
    assert max(map(len, pages)) <= 20


def test_a_row_that_is_too_large_alone_is_an_error_not_a_loop() -> None:
    client = Stingy(500, each=1)
    with pytest.raises(TooLargeError, match=r"failed to read x: .*maxOutputSize"):
        index(client).chunks_of(DOCUMENTS[:1])
    with pytest.raises(TooLargeError):
        list(index(client).scan_chunks())


def test_a_collection_that_cannot_be_loaded_is_an_error_where_it_is_not_loaded_already(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load_collection(name: str, **_: Any) -> None:
        if name == "x":
            raise MilvusException(65535, "can't change the replica number for loaded collection")
        loaded.append(name)

    store = index(SimpleNamespace(load_collection=load_collection))
    monkeypatch.setattr(store, "facts", lambda: SimpleNamespace(loaded=True))
    (refused,) = store.load(2)
    assert refused.startswith("milvus.replicas stays what it was while the collection is loaded: failed to load collection x: ")
    assert loaded == [store.ledger]
    monkeypatch.setattr(store, "facts", lambda: SimpleNamespace(loaded=False))
    with pytest.raises(RefusedError, match="failed to load collection x: "):
        store.load(2)
