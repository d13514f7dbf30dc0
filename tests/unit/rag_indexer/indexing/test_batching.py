from __future__ import annotations

from rag_indexer.indexing.batching import BATCH_BYTES, BATCH_DOCUMENTS, batches
from rag_indexer.sources.port import Entry


def _sizes(*sizes: int) -> list[list[int]]:
    changes = [(f"s/{number}", Entry(str(number), "v1", size=size), frozenset({"one"})) for number, size in enumerate(sizes)]
    return [[entry.size for _, entry, _ in batch] for batch in batches(changes)]


def test_a_batch_ends_at_its_bytes_and_a_document_larger_than_one_goes_alone() -> None:
    half = BATCH_BYTES // 2
    assert _sizes(half, half, 1, 2 * BATCH_BYTES, 1) == [[half, half], [1], [2 * BATCH_BYTES], [1]]


def test_a_batch_ends_at_its_documents() -> None:
    assert [len(batch) for batch in _sizes(*[1] * (BATCH_DOCUMENTS + 1))] == [BATCH_DOCUMENTS, 1]
