"""Sixteen texts whose vectors are kept with an index, to find out whether an embedder is still the one that made it.

A server that was replaced, or weights that changed under the same name, cannot hide from them. Never change the texts: every index holds
their vectors.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag_indexer.errors import EmbedderError
from rag_indexer.indexing.embedding import Embedder, Refused
from rag_runtime.contracts import collections as names
from rag_runtime.contracts.embedding import PRECISION_EIGHT_BIT
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.rows import LedgerRow, Vector
from rag_runtime.milvus.schema import MAX_REASON_BYTES

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "water",
    "How do I reset my password?",
    "Boundary layer transition on a flat plate in supersonic flow was measured with hot wires.",
    "Der Vertrag verlängert sich um ein Jahr, wenn er nicht drei Monate vorher gekündigt wird.",
    "今日はとても良い天気です。",
    "def add(a, b):\n    return a + b",
    "3.14159 2.71828 1.41421 0.57721",
    "The patient was given 5 mg of the drug twice a day for six weeks without adverse effects.",
    "SELECT name, price FROM products WHERE price > 100 ORDER BY price DESC;",
    "El tribunal desestimó el recurso por falta de pruebas.",
    "A recipe for bread: flour, water, salt, yeast; knead, let rise, bake at 230 degrees.",
    "ERROR: connection refused (os error 111) while connecting to 10.0.0.1:5432",
    "Shares fell four per cent after the company cut its forecast for the second time this year.",
    "To be, or not to be, that is the question.",
    "Les données personnelles sont conservées pendant la durée nécessaire à leur traitement.",
)
# "Equal" between engines and machines, 16-bit arithmetic included.
COSINE = 0.999
# The loosest: 8-bit weights on either side, which somebody chose. Another model is far outside.
EIGHT_BIT_MEAN_COSINE = 0.998
EIGHT_BIT_WORST_COSINE = 0.99
# A row's text field holds this much base64; longer vectors take several rows.
_PIECE = MAX_REASON_BYTES // 4 * 4 - 4
_PRECISION = f"{names.META_PREFIX}probe/precision"


@dataclass(frozen=True)
class Comparison:
    """Cosines between stored and present vectors, and whether either were made with 8-bit weights."""

    mean: float
    worst: float
    eight_bit: bool = False

    @property
    def equal(self) -> bool:
        """Whether both can be of one model."""
        if self.eight_bit:
            return self.mean >= EIGHT_BIT_MEAN_COSINE and self.worst >= EIGHT_BIT_WORST_COSINE
        return self.worst >= COSINE


async def vectors(embedder: Embedder) -> list[Vector]:
    """The probes' vectors by this embedder, unit length. Raises `EmbedderError`."""
    found = await embedder.embed(TEXTS)
    if refused := [answer for answer in found.values() if isinstance(answer, Refused)]:
        raise EmbedderError(f"the embedder refuses a probe text: {refused[0]}")
    return [_unit(np.asarray(found[text], np.float32)) for text in TEXTS]


def _unit(vector: Vector) -> Vector:
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def store_probes(store: IndexStore, probes: Sequence[Vector], now: float, precision: str) -> None:
    """Keep the vectors with the index, and the precision they were made with; empty: the embedder does not say."""
    rows = [LedgerRow(_PRECISION, "", names.STATE_META, reason=precision, updated=int(now))]
    for number, vector in enumerate(probes):
        text = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        for part, start in enumerate(range(0, len(text), _PIECE)):
            row = LedgerRow(_name(number, part), str(len(vector)), names.STATE_META, reason=text[start : start + _PIECE], updated=int(now))
            rows.append(row)
    store.put_ledger(rows)


def stored_probes(store: IndexStore, dimensions: int) -> list[Vector]:
    """The vectors kept with the index; empty when there are none, or not all."""
    characters = math.ceil(dimensions * 4 / 3) * 4
    parts = range(math.ceil(characters / _PIECE))
    wanted = [_name(number, part) for number in range(len(TEXTS)) for part in parts]
    rows = store.ledger_of(wanted)
    if any(name not in rows for name in wanted):
        return []
    return [_joined(rows, number, len(parts)) for number in range(len(TEXTS))]


def stored_precision(store: IndexStore) -> str:
    """The precision that the kept vectors were made with; empty when it is not known."""
    row = store.ledger_of([_PRECISION]).get(_PRECISION)
    return row.reason if row else ""


def _joined(rows: Mapping[str, LedgerRow], number: int, parts: int) -> Vector:
    text = "".join(rows[_name(number, part)].reason for part in range(parts))
    return np.frombuffer(base64.b64decode(text), "<f4").copy()


def compare(stored: Sequence[Vector], present: Sequence[Vector], *precisions: str | None) -> Comparison:
    """Cosines pair by pair; vectors of other lengths are of another model. `precisions` of both sides, where they are known."""
    if any(len(one) != len(other) for one, other in zip(stored, present, strict=True)):
        return Comparison(0.0, 0.0)
    cosines = [float(one @ other / np.linalg.norm(one)) for one, other in zip(stored, present, strict=True)]
    return Comparison(float(np.mean(cosines)), min(cosines), PRECISION_EIGHT_BIT in precisions)


def _name(number: int, part: int) -> str:
    return f"{names.META_PREFIX}probe/{number:02d}/{part}"
