from __future__ import annotations

import numpy as np

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
        probes.store_probes(ledger, kept, 0.0)  # type: ignore[arg-type]
        found = probes.stored_probes(ledger, dimensions)  # type: ignore[arg-type]
        assert all(np.array_equal(one, other) for one, other in zip(kept, found, strict=True))
        assert all(len(row.reason.encode()) <= 65_535 for row in ledger.rows.values())


def test_a_set_that_is_not_whole_is_none() -> None:
    ledger = Ledger()
    probes.store_probes(ledger, unit_vectors(8), 0.0)  # type: ignore[arg-type]
    del ledger.rows[".probe/07/0"]
    assert probes.stored_probes(ledger, 8) == []  # type: ignore[arg-type]


def test_rounding_is_equal_and_another_model_is_not() -> None:
    kept = unit_vectors(384)
    rounded = [vector.astype(np.float16).astype(np.float32) for vector in kept]
    assert probes.compare(kept, rounded).equal
    assert not probes.compare(kept, unit_vectors(384, seed=1)).equal
    assert not probes.compare(kept, unit_vectors(128)).equal


def test_one_text_that_differs_is_enough() -> None:
    kept = unit_vectors(384)
    assert not probes.compare(kept, [*kept[:-1], -kept[-1]]).equal


def test_the_texts_never_change() -> None:
    import hashlib

    assert len(probes.TEXTS) == 16
    assert hashlib.sha256("\0".join(probes.TEXTS).encode()).hexdigest()[:16] == "1c7ae5f2227c29ec"
