"""The BERT family as an OpenVINO graph, built from configuration and safetensors alone: no torch, no export.

The graph is *packed*: the texts of a batch lie one after another in a single axis of tokens, so the products with weights, which
are nine tenths of the work, never see padding. Only attention needs one row per text; there the tokens are gathered into
`[texts, longest]` and back. Inputs:

    ids, positions, types   [tokens]          token, position and type of each token
    rows    [texts, longest]          which token stands there (any where `mask` hides it)
    back    [tokens]                  where each token stands in the flattened rows
    mask    [texts, 1, 1, longest]    0 where a token stands, a large negative number elsewhere
    pool    [texts, tokens]           weights of the pooling: 1/length for the mean, 1 for a single token

The output is `[texts, hidden]`, not normalised. Source of the arithmetic: Devlin et al., BERT, 2018 (post-layer-norm encoder).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as ops

from rag_embedder.errors import ModelError
from rag_embedder.model.weights import Tensors

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")
_PREFIXES = ("", "bert.", "roberta.")  # repositories differ in how deep they store the encoder
_ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


def supports(config: dict[str, Any]) -> bool:
    """Whether this module can build the graph of a model with this config.json."""
    return (
        config.get("model_type") in FAMILIES
        and config.get("position_embedding_type", "absolute") == "absolute"
        and config.get("hidden_act", "gelu") in (*_ACTIVATIONS, "relu")
        and not config.get("is_decoder", False)
    )


def build(config: dict[str, Any], tensors: Tensors, *, int8: bool) -> ov.Model:
    """The graph. `int8` stores the weights of matrix products in 8 bits. Raises `ModelError` when a tensor is missing or misshapen."""
    return _Builder(config, tensors, int8).model()


class _Builder:
    """Holds the weights while nodes are made; node names are OpenVINO's own."""

    def __init__(self, config: dict[str, Any], tensors: Tensors, int8: bool) -> None:
        self._tensors = tensors
        self._int8 = int8
        self._hidden = int(config["hidden_size"])
        self._heads = int(config["num_attention_heads"])
        self._layers = int(config["num_hidden_layers"])
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self._activation = str(config.get("hidden_act", "gelu"))
        self._prefix = next((each for each in _PREFIXES if f"{each}embeddings.word_embeddings.weight" in tensors), "")
        if self._hidden % self._heads:
            raise ModelError(f"hidden_size {self._hidden} is not a multiple of num_attention_heads {self._heads}")
        self._rows = ops.parameter([-1, -1], ov.Type.i32, name="rows")
        self._back = ops.parameter([-1], ov.Type.i32, name="back")
        self._mask = ops.parameter([-1, 1, 1, -1], ov.Type.f32, name="mask")

    def model(self) -> ov.Model:
        ids, positions, types = (ops.parameter([-1], ov.Type.i32, name=name) for name in ("ids", "positions", "types"))
        pool = ops.parameter([-1, -1], ov.Type.f32, name="pool")
        tokens = self._embeddings(ids, positions, types)
        for layer in range(self._layers):
            tokens = self._layer(tokens, f"encoder.layer.{layer}.")
        pooled = ops.matmul(pool, tokens, False, False)
        return ov.Model([ops.result(pooled)], [ids, positions, types, self._rows, self._back, self._mask, pool], "encoder")

    def _embeddings(self, ids: Any, positions: Any, types: Any) -> Any:
        names = ("word", "position", "token_type")
        looked_up = [
            ops.gather(_constant(self._tensor(f"embeddings.{name}_embeddings.weight")), index, _scalar(0))
            for name, index in zip(names, (ids, positions, types), strict=True)
        ]
        return self._norm(ops.add(ops.add(looked_up[0], looked_up[1]), looked_up[2]), "embeddings.LayerNorm")

    def _layer(self, tokens: Any, at: str) -> Any:
        attended = self._dense(self._attention(tokens, at + "attention.self."), at + "attention.output.dense")
        tokens = self._norm(ops.add(tokens, attended), at + "attention.output.LayerNorm")
        widened = self._activate(self._dense(tokens, at + "intermediate.dense"))
        return self._norm(ops.add(tokens, self._dense(widened, at + "output.dense")), at + "output.LayerNorm")

    def _attention(self, tokens: Any, at: str) -> Any:
        """Softmax(QKᵀ/√d + mask)V per text and head. One product makes queries, keys and values; one gather makes rows of them."""
        weights = np.concatenate([self._tensor(f"{at}{name}.weight") for name in ("query", "key", "value")])
        biases = np.concatenate([self._tensor(f"{at}{name}.bias") for name in ("query", "key", "value")])
        width = self._hidden // self._heads
        rows = ops.gather(self._product(tokens, weights, biases), self._rows, _scalar(0))
        split = ops.transpose(ops.reshape(rows, _vector(0, 0, 3, self._heads, width), True), _vector(2, 0, 3, 1, 4))
        query, key, value = (ops.squeeze(part, _scalar(0)) for part in ops.split(split, _scalar(0), 3).outputs())
        scores = ops.multiply(ops.matmul(query, key, False, True), ops.constant(np.float32(width**-0.5)))
        mixed = ops.matmul(ops.softmax(ops.add(scores, self._mask), -1), value, False, False)
        flat = ops.reshape(ops.transpose(mixed, _vector(0, 2, 1, 3)), _vector(-1, self._hidden), False)
        return ops.gather(flat, self._back, _scalar(0))

    def _activate(self, values: Any) -> Any:
        if self._activation == "relu":
            return ops.relu(values)
        return ops.gelu(values, _ACTIVATIONS[self._activation])

    def _dense(self, values: Any, at: str) -> Any:
        return self._product(values, self._tensor(at + ".weight"), self._tensor(at + ".bias"))

    def _product(self, values: Any, weights: NDArray[Any], biases: NDArray[Any]) -> Any:
        matrix = _compressed(weights) if self._int8 else _constant(weights)
        return ops.add(ops.matmul(values, matrix, False, True), _constant(biases.reshape(1, -1)))

    def _norm(self, values: Any, at: str) -> Any:
        centred = ops.mvn(values, _vector(-1), True, self._epsilon, "inside_sqrt")
        return ops.add(ops.multiply(centred, _constant(self._tensor(at + ".weight"))), _constant(self._tensor(at + ".bias")))

    def _tensor(self, name: str) -> NDArray[Any]:
        try:
            return self._tensors[self._prefix + name]
        except KeyError:
            raise ModelError(f"the weights have no tensor {self._prefix + name}") from None


def _compressed(weights: NDArray[Any]) -> Any:
    """8-bit weights, symmetric, one scale per output channel; the CPU plugin multiplies without widening them in memory."""
    scales = np.maximum(np.abs(weights).max(axis=1, keepdims=True) / 127.0, np.finfo(np.float32).tiny).astype(np.float32)
    narrow = np.rint(weights / scales).astype(np.int8)
    return ops.multiply(ops.convert(ops.constant(narrow), "f32"), ops.constant(scales))


def _constant(values: NDArray[Any]) -> Any:
    return ops.constant(np.ascontiguousarray(values, np.float32))


def _vector(*values: int) -> Any:
    return ops.constant(np.array(values, np.int64))


def _scalar(value: int) -> Any:
    return ops.constant(np.int64(value))
