"""The model fingerprint: what decides the vectors, and nothing that does not (design: identity).

Digests of weights and tokenizer, architecture, pooling, normalisation, dimensions and token limit. Not the name, the commit, the
engine, the precision or any library's version: two embedders with one fingerprint give vectors that may be compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from rag_embedder.model.description import Description

# Members of config.json that change the arithmetic; the rest describes training or tools.
_ARITHMETIC = (
    "model_type",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "layer_norm_eps",
    "position_embedding_type",
)
_CHUNK = 1 << 22


def fingerprint(model: Description, weights: Iterable[Path], tokenizer: bytes, dimensions: int) -> str:
    """Hex SHA-256 over canonical JSON of the parts."""
    parts = {
        "weights": [digest(path) for path in weights],
        "tokenizer": hashlib.sha256(tokenizer).hexdigest(),
        "architecture": {name: model.config[name] for name in _ARITHMETIC if name in model.config},
        "kind": model.kind,
        "pooling": model.pooling,
        "normalize": model.normalize,
        "dimensions": dimensions,
        "max_tokens": model.max_tokens,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest(path: Path) -> str:
    """Hex SHA-256 of a file."""
    summed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            summed.update(block)
    return summed.hexdigest()
