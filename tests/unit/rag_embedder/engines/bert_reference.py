"""BERT's encoder in numpy and float64, one text at a time, written from the paper: what the engines are compared with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_erf = np.vectorize(math.erf)


def encode(config: dict[str, Any], tensors: dict[str, NDArray[Any]], ids: list[int], *, pooling: str, first_position: int = 0) -> Array:
    """The pooled vector of one text, not normalised."""
    tensor = {name: values.astype(np.float64, copy=False) for name, values in tensors.items()}
    positions = np.arange(len(ids)) + first_position
    tokens = tensor["embeddings.word_embeddings.weight"][ids] + tensor["embeddings.position_embeddings.weight"][positions]
    tokens = _norm(tokens + tensor["embeddings.token_type_embeddings.weight"][0], tensor, "embeddings.LayerNorm", config)
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        attended = _dense(
            _attention(tokens, tensor, at + "attention.self.", config["num_attention_heads"]), tensor, at + "attention.output.dense"
        )
        tokens = _norm(tokens + attended, tensor, at + "attention.output.LayerNorm", config)
        inner = _activation(_dense(tokens, tensor, at + "intermediate.dense"), config.get("hidden_act", "gelu"))
        tokens = _norm(tokens + _dense(inner, tensor, at + "output.dense"), tensor, at + "output.LayerNorm", config)
    pooled: Array = {"mean": tokens.mean(axis=0), "cls": tokens[0], "lasttoken": tokens[-1]}[pooling]
    return pooled


def _attention(tokens: Array, tensor: dict[str, Array], at: str, heads: int) -> Array:
    query, key, value = (_dense(tokens, tensor, at + name) for name in ("query", "key", "value"))
    width = tokens.shape[1] // heads
    mixed = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part] @ key[:, part].T / math.sqrt(width)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed.append(weights / weights.sum(axis=1, keepdims=True) @ value[:, part])
    return np.concatenate(mixed, axis=1)


def _activation(values: Array, name: str) -> Array:
    if name == "relu":
        return np.maximum(values, 0)
    if name == "gelu":
        return np.asarray(values * 0.5 * (1 + _erf(values / math.sqrt(2))))
    return np.asarray(0.5 * values * (1 + np.tanh(math.sqrt(2 / math.pi) * (values + 0.044715 * values**3))))


def _dense(values: Array, tensor: dict[str, Array], at: str) -> Array:
    return values @ tensor[at + ".weight"].T + tensor[at + ".bias"]


def _norm(values: Array, tensor: dict[str, Array], at: str, config: dict[str, Any]) -> Array:
    centred = values - values.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + config.get("layer_norm_eps", 1e-12))
    return centred / deviation * tensor[at + ".weight"] + tensor[at + ".bias"]
