from __future__ import annotations

import numpy as np
import pytest

from rag_indexer import probes
from rag_runtime.milvus.rows import LedgerRow


class Ledger:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, LedgerRow] = {}

    def put_ledger(self, rows: list[LedgerRow]) -> None:
        self.rows |= {row.document: row for row in rows}

    def ledger_of(self, documents: list[str]) -> dict[str, LedgerRow]:
        return {name: self.rows[name] for name in documents if name in self.rows}


def unit_vectors(dimensions: int, seed: int = 0) -> list[probes.Vector]:
    made = np.random.default_rng(seed).standard_normal((len(probes.TEXTS), dimensions)).astype(np.float32)
    return list(made / np.linalg.norm(made, axis=1, keepdims=True))


def test_vectors_come_back_exactly_whatever_their_length() -> None:
    for dimensions in (8, 384, 20_000):
        ledger = Ledger()
        kept = unit_vectors(dimensions)
        probes.store_probes(ledger, kept, 0.0, "bf16")  # type: ignore[arg-type]
        found = probes.stored_probes(ledger, dimensions)  # type: ignore[arg-type]
        assert all(np.array_equal(one, other) for one, other in zip(kept, found, strict=True))
        assert all(len(row.reason.encode()) <= 65_535 for row in ledger.rows.values())


def test_a_set_that_is_not_whole_is_none() -> None:
    ledger = Ledger()
    probes.store_probes(ledger, unit_vectors(8), 0.0, "bf16")  # type: ignore[arg-type]
    del ledger.rows[".probe/07/0"]
    assert probes.stored_probes(ledger, 8) == []  # type: ignore[arg-type]


def test_rounding_is_equal_and_another_model_is_not() -> None:
    kept = unit_vectors(384)
    rounded = [vector.astype(np.float16).astype(np.float32) for vector in kept]
    assert probes.compare(kept, rounded).equal
    assert not probes.compare(kept, unit_vectors(384, seed=1)).equal
    assert not probes.compare(kept, unit_vectors(128)).equal


def near(vectors: list[probes.Vector], cosine: float) -> list[probes.Vector]:
    """Vectors at this cosine to the given ones."""
    others = []
    for vector, random in zip(vectors, unit_vectors(len(vectors[0]), seed=2), strict=True):
        aside = random - (random @ vector) * vector
        others.append((cosine * vector + (1 - cosine**2) ** 0.5 * aside / np.linalg.norm(aside)).astype(np.float32))
    return others


@pytest.mark.parametrize(
    ("cosine", "precisions", "equal"),
    [
        (0.9995, (), True),  # another engine or machine, bf16 included
        (0.9985, (), False),
        (0.9985, ("bf16", "f32"), False),
        (0.9985, ("", "int8"), True),
        (0.9985, ("int8", "bf16"), True),
        (0.9975, ("int8", "int8"), False),
    ],
)
def test_how_near_is_equal_depends_on_the_precision(cosine: float, precisions: tuple[str, ...], equal: bool) -> None:
    kept = unit_vectors(384)
    assert probes.compare(kept, near(kept, cosine), *precisions).equal is equal


def test_the_precision_is_kept_with_the_vectors() -> None:
    ledger = Ledger()
    assert probes.stored_precision(ledger) == ""  # type: ignore[arg-type]
    probes.store_probes(ledger, unit_vectors(8), 0.0, "int8")  # type: ignore[arg-type]
    assert probes.stored_precision(ledger) == "int8"  # type: ignore[arg-type]


def test_one_text_that_differs_is_enough() -> None:
    kept = unit_vectors(384)
    assert not probes.compare(kept, [*kept[:-1], -kept[-1]]).equal


def test_the_texts_never_change() -> None:
    import hashlib

    assert len(probes.TEXTS) == 16
    assert hashlib.sha256("\0".join(probes.TEXTS).encode()).hexdigest()[:16] == "1c7ae5f2227c29ec"
