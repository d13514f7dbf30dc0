"""The enumerator against rows in memory, with servers that lie."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest

from rag_runtime.contracts.collections import bucket
from rag_runtime.milvus.errors import IncompleteReadError
from rag_runtime.milvus.scan import Row, chunk_span, ledger_span, page_rows, reread, scan

KEYS = sorted(hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(5_000))


def matching(condition: str) -> list[str]:
    low = re.search(r'key >= "([0-9a-f]+)"', condition)
    high = re.search(r'key < "([0-9a-f]+)"', condition)
    return [key for key in KEYS if (not low or key >= low[1]) and (not high or key < high[1])]


def query(condition: str, limit: int) -> list[Row]:
    # Which rows a limited query returns is the server's business: the last ones, here.
    return [{"key": key} for key in matching(condition)[-limit:]]


def count(condition: str) -> int:
    return len(matching(condition))


@pytest.mark.parametrize("rows", [50, 700, 4_999, 5_000, 16_383])
def test_every_row_comes_once_whatever_the_page(rows: int) -> None:
    pages = list(scan(query, count, chunk_span(), rows))
    assert sorted(row["key"] for page in pages for row in page) == KEYS
    assert max(len(page) for page in pages) <= rows


def test_an_empty_collection_is_not_even_read() -> None:
    def never(_: str, __: int) -> list[Row]:
        raise AssertionError("read")

    assert list(scan(never, lambda _: 0, chunk_span(), 10)) == []


def counting(*answers: int) -> Callable[[str], int]:
    found = iter(answers)
    return lambda _: next(found)


def test_rows_that_a_server_forgot_are_noticed() -> None:
    def forgetful(condition: str, limit: int) -> list[Row]:
        return query(condition, limit)[1:]

    with pytest.raises(IncompleteReadError, match="but 5000 counted before and 5000 after"):
        list(scan(forgetful, count, chunk_span(), 1_000))


def test_a_writer_at_work_is_no_error() -> None:
    assert sum(map(len, scan(query, counting(4_990, 5_000), chunk_span(), 1_000))) == 5_000


def test_a_reader_that_needs_every_row_reads_again() -> None:
    counted = counting(4_990, 4_991, 5_000)
    assert sum(map(len, reread(lambda: list(scan(query, counted, chunk_span(), 1_000))))) == 5_000


def test_what_is_never_found_whole_is_given_up() -> None:
    reads: list[int] = []

    def never() -> None:
        reads.append(1)
        raise IncompleteReadError("rows are missing")

    with pytest.raises(IncompleteReadError):
        reread(never)
    assert len(reads) == 3


def test_rows_that_cannot_be_read_in_parts_are_an_error_not_a_loop() -> None:
    span = ledger_span(5, 6)
    with pytest.raises(IncompleteReadError, match="cannot be read in parts"):
        list(scan(lambda _, limit: [{}] * limit, lambda _: 100, span, 10))


def test_pages_with_vectors_stay_within_32_mib() -> None:
    assert page_rows(384 * 4) * (384 * 4 + 4_096) <= 32 * 1024 * 1024
    assert page_rows(32_768 * 4) >= 1
    assert page_rows(0) <= 16_383


def test_a_ledger_is_read_by_bucket() -> None:
    assert ledger_span(3, 9).filter == "bucket >= 3 and bucket < 9"
    assert 0 <= bucket("s/a") < 1_024
