"""What a sweep leaves behind, on rows in memory: unlike some servers these hold a key twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

from rag_indexer.indexing.target import Counts
from rag_indexer.work.sweeping import sweep
from rag_runtime.contracts.collections import chunk_key, chunks_digest
from rag_runtime.milvus.rows import Chunk, LedgerRow

ONE, TWO = (chunk_key("docs/a", text, 0) for text in ("one", "two"))


class Rows:
    """An index in memory."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.chunks = [Chunk(key, "docs/a", "text", 0, 0, 4) for key in keys]
        self.ledger = {"docs/a": LedgerRow("docs/a", "1", "done", chunks_digest=chunks_digest([ONE, TWO]))}

    def scan_keys(self) -> Iterator[list[tuple[str, str]]]:
        yield [(chunk.key, chunk.document) for chunk in self.chunks]

    def scan_ledger(self) -> Iterator[list[LedgerRow]]:
        yield list(self.ledger.values())

    def chunks_by_key(self, keys: Sequence[str]) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.key in keys]

    def ledger_of(self, documents: Sequence[str]) -> dict[str, LedgerRow]:
        return {name: self.ledger[name] for name in documents}

    def put_ledger(self, rows: Sequence[LedgerRow]) -> None:
        self.ledger |= {row.document: row for row in rows}

    def delete_chunks(self, keys: Sequence[str]) -> None:
        self.chunks = [chunk for chunk in self.chunks if chunk.key not in keys]


def swept(*keys: str) -> Rows:
    rows = Rows(keys)
    sweep(SimpleNamespace(store=rows, counts=Counts()))  # type: ignore[arg-type]
    return rows


def test_a_sound_index_is_left_alone() -> None:
    assert swept(ONE, TWO).ledger["docs/a"].state == "done"


def test_a_document_that_lacks_chunks_is_to_be_written_again() -> None:
    assert swept(ONE).ledger["docs/a"].state == "writing"


def test_of_a_key_that_is_there_twice_both_rows_go_and_its_document_is_to_be_written_again() -> None:
    rows = swept(ONE, ONE, TWO)
    assert [chunk.key for chunk in rows.chunks] == [TWO]
    assert rows.ledger["docs/a"].state == "writing"
