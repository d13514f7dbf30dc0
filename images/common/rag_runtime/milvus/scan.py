"""The only enumerator of a collection: every row, in pages, checked against a count.

An iterator right after writes missed rows and showed deleted ones, and which rows a limited query returns differs by server. So: a Strong
`count(*)` first, which acts as a barrier; then pages by ranges of a key that is spread evenly, each small enough to be returned whole;
then the number found is compared with the count, and with a second one, since a writer may have been at work.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rag_runtime.contracts import collections as names
from rag_runtime.milvus.errors import IncompleteReadError, TooLargeError
from rag_runtime.milvus.schema import literal

Row = Mapping[str, Any]
Query = Callable[[str, int], list[Row]]  # (filter, limit) -> rows, read Strong
Count = Callable[[str], int]  # filter -> rows, read Strong
T = TypeVar("T")

# The server's own limit of a result is 16,384 rows; one less, so that a page that was cut can be told from a full one.
MAX_PAGE_ROWS = 16_383
MAX_PAGE_BYTES = 32 * 1024 * 1024
# What a row weighs beside its vector: text, title, URI and metadata. It may be much more; a page that the server refuses is halved.
_ROW_BYTES = 4_096
# Keys are spread evenly, not exactly: planned pages are this full.
_PLANNED_FILL = 0.6
_KEY_SPACE = 2**32
# How often a reader that needs every row reads: a writer may have been at work.
_READS = 3


@dataclass(frozen=True)
class Span:
    """Numbers `low` (inclusive) to `high` (exclusive), and how they are said as a filter."""

    low: int
    high: int
    say: Callable[[int, int], str]

    @property
    def filter(self) -> str:
        """The filter of all its rows."""
        return self.say(self.low, self.high)

    def parts(self, number: int) -> list[Span]:
        """The span in at most `number` parts."""
        number = max(1, min(number, self.high - self.low))
        bounds = [self.low + (self.high - self.low) * part // number for part in range(number + 1)]
        return [Span(low, high, self.say) for low, high in itertools.pairwise(bounds)]


def chunk_span() -> Span:
    """All chunks, by the first eight hex digits of their keys."""

    def say(low: int, high: int) -> str:
        lower = f"{names.KEY} >= {literal(f'{low:08x}')}"
        return lower if high >= _KEY_SPACE else f"{lower} and {names.KEY} < {literal(f'{high:08x}')}"

    return Span(0, _KEY_SPACE, say)


def ledger_span(low: int = 0, high: int = names.BUCKETS) -> Span:
    """The documents of the buckets `low` to `high` - 1."""
    return Span(low, high, lambda lower, upper: f"{names.BUCKET} >= {lower} and {names.BUCKET} < {upper}")


def page_rows(vector_bytes: int) -> int:
    """How many rows fit a page, when each has a vector of so many bytes (0: without)."""
    return max(1, min(MAX_PAGE_ROWS, MAX_PAGE_BYTES // (vector_bytes + _ROW_BYTES)))


def scan(query: Query, count: Count, span: Span, rows_per_page: int) -> Iterator[list[Row]]:
    """Every row of `span`. Raises `IncompleteReadError` after the last page when rows are missing: then nothing may be concluded."""
    total = count(span.filter)
    found = 0
    for part in span.parts(math.ceil(total / (rows_per_page * _PLANNED_FILL))) if total else ():
        for page in _pages(query, part, rows_per_page):
            found += len(page)
            yield page
    if found != total and found != (again := count(span.filter)):
        raise IncompleteReadError(f"{found} rows found, but {total} counted before and {again} after")


def reread(read: Callable[[], T]) -> T:
    """What `read` returns, which is begun anew a few times when it found not every row. Raises the last `IncompleteReadError`."""
    for _ in range(_READS - 1):
        try:
            return read()
        except IncompleteReadError:
            continue
    return read()


def _pages(query: Query, span: Span, rows_per_page: int) -> Iterator[list[Row]]:
    try:
        rows = query(span.filter, rows_per_page + 1)
    except TooLargeError:
        if span.high - span.low < 2:
            raise
        rows = None
    if rows is not None and len(rows) <= rows_per_page:
        if rows:
            yield rows
        return
    if span.high - span.low < 2:
        raise IncompleteReadError(f"more than {rows_per_page} rows where {span.filter}, which cannot be read in parts")
    for half in span.parts(2):
        yield from _pages(query, half, rows_per_page)


def in_parts(query: Callable[[str], list[Row]], condition: str, span: Span, *, is_part: bool = False) -> list[Row]:
    """Every row of `span` that meets `condition`: by parts of the span, where the server refuses to give so much at once."""
    try:
        return query(f"{condition} and {span.filter}" if is_part else condition)
    except TooLargeError:
        if span.high - span.low < 2:
            raise
    return [row for half in span.parts(2) for row in in_parts(query, condition, half, is_part=True)]
