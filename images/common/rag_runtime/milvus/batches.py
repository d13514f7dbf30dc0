"""Keys and rows in portions that stay far below gRPC's and Milvus' limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# Keys in one expression, and rows in one write.
MAX_KEYS = 2_048
MAX_WRITE_BYTES = 16 * 1024 * 1024


def batches(values: Sequence[str], size: int = MAX_KEYS) -> Iterator[Sequence[str]]:
    """Values in portions of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def by_size(rows: Sequence[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """Rows in writes of at most `MAX_WRITE_BYTES`, by a bound of what a row weighs."""
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        weight = 512 + sum(4 * len(value) for value in row.values() if hasattr(value, "__len__"))
        if batch and size + weight > MAX_WRITE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch
