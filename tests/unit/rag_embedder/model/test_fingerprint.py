"""What the fingerprint depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rag_embedder.model.description import Description
from rag_embedder.model.fingerprint import fingerprint

CONFIG = {"model_type": "bert", "hidden_act": "gelu", "num_attention_heads": 12, "transformers_version": "4.8.2", "_name_or_path": "x"}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Description:
    return Description(tmp_path, tmp_path, "transformer", CONFIG, "mean", True, 256, "", "")


def test_it_is_fixed_for_all_time(model: Description, weights: Path) -> None:
    """Indexes carry it for years: this value must never change."""
    assert fingerprint(model, [weights], b"{}", 384) == "e2afde31d39eae79b953e0ef05f7f305bce25d4e55899376077edb5d66c1cb89"


def test_whatever_decides_the_vectors_changes_it(model: Description, weights: Path) -> None:
    variants = [
        fingerprint(model, [weights], b"{}", 384),
        fingerprint(model, [weights], b"{ }", 384),
        fingerprint(model, [weights], b"{}", 32),
        fingerprint(replace(model, pooling="cls"), [weights], b"{}", 384),
        fingerprint(replace(model, normalize=False), [weights], b"{}", 384),
        fingerprint(replace(model, max_tokens=512), [weights], b"{}", 384),
        fingerprint(replace(model, config={**CONFIG, "hidden_act": "relu"}), [weights], b"{}", 384),
    ]
    weights.write_bytes(b"weightz")
    variants.append(fingerprint(model, [weights], b"{}", 384))
    assert len(set(variants)) == len(variants)


def test_what_does_not_decide_the_vectors_does_not(model: Description, weights: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(b"weights")
    other = replace(
        model, root=Path("/elsewhere"), query_prompt="query: ", config={**CONFIG, "transformers_version": "5.0", "_name_or_path": "y"}
    )
    assert fingerprint(other, [renamed], b"{}", 384) == fingerprint(model, [weights], b"{}", 384)
