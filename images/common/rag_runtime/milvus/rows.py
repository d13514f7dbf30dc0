"""Rows of the two collections as values, and as what the client takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_runtime.contracts import collections as names

Vector = NDArray[np.float32]

# Every field but the vector: a row without it is a hundredth of the size.
CHUNK_FIELDS = (
    names.KEY,
    names.DOCUMENT,
    names.TEXT,
    names.ORDINAL,
    names.SPAN_START,
    names.SPAN_END,
    names.TITLE,
    names.URI,
    names.METADATA,
    names.ACL,
)
KEY_FIELDS = (names.KEY, names.DOCUMENT)
LEDGER_FIELDS = (
    names.DOCUMENT,
    names.VERSION,
    names.CONTENT_HASH,
    names.CHUNKS_DIGEST,
    names.CHUNK_COUNT,
    names.STATE,
    names.REASON,
    names.ATTEMPTS,
    names.UPDATED,
    names.RECIPE,
)
_MEANINGLESS = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document. `vector` is None where it was not asked for; the span counts characters of the parsed text."""

    key: str
    document: str
    text: str
    ordinal: int
    span_start: int
    span_end: int
    title: str = ""
    uri: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    acl: tuple[str, ...] = ()
    vector: Vector | None = None

    @property
    def attributes(self) -> tuple[Any, ...]:
        """What may change while key and vector stay."""
        metadata = tuple(sorted(self.metadata.items(), key=lambda item: item[0]))
        return self.ordinal, self.span_start, self.span_end, self.title, self.uri, repr(metadata), self.acl

    def to_row(self) -> dict[str, Any]:
        """The row to write. Raises `ValueError` without a vector."""
        if self.vector is None:
            raise ValueError(f"chunk {self.key} has no vector")
        row = {name: getattr(self, name) for name in CHUNK_FIELDS}
        return {**row, names.METADATA: dict(self.metadata), names.ACL: list(self.acl), names.VECTOR: self.vector}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Chunk:
        """Read a row that was asked for with `CHUNK_FIELDS`, with or without its vector."""
        values = {name: row[name] for name in CHUNK_FIELDS}
        vector = row.get(names.VECTOR)
        return cls(
            **{**values, names.ACL: tuple(values[names.ACL] or ())},
            vector=None if vector is None else np.asarray(vector, np.float32),
        )


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the index knows of one document. `version` is the source's, `content_hash` of the bytes read; `updated` in epoch seconds."""

    document: str
    version: str
    state: str
    content_hash: str = ""
    chunks_digest: str = ""
    chunk_count: int = 0
    reason: str = ""
    attempts: int = 0
    updated: int = 0
    recipe: str = ""

    @property
    def settled(self) -> bool:
        """Whether the index holds exactly what this version of the document produces."""
        return self.state in names.SETTLED

    def to_row(self) -> dict[str, Any]:
        """The row to write."""
        row = {name: getattr(self, name) for name in LEDGER_FIELDS}
        is_meta = self.document.startswith(names.META_PREFIX)
        return {**row, names.BUCKET: names.META_BUCKET if is_meta else names.bucket(self.document), names.MARK: list(_MEANINGLESS)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> LedgerRow:
        """Read a row that was asked for with `LEDGER_FIELDS`."""
        return cls(**{name: row[name] for name in LEDGER_FIELDS})
