"""OpenVINO on CPU: the packed BERT graph, and graphs that a repository brings with it (OpenVINO or ONNX files)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from rag_embedder.engines import bert_graph, hardware, packing
from rag_embedder.engines.base import Vectors
from rag_embedder.errors import EngineError, ModelError
from rag_embedder.model import weights
from rag_embedder.model.description import Description, Pooling
from rag_embedder.settings import Precision
from rag_embedder.tokens import TokenIds
from rag_runtime.contracts.embedding import PRECISION_EIGHT_BIT

GRAPH_FILES = ("openvino/openvino_model.xml", "onnx/model.onnx")
# Activations are rounded to 8 bits in groups of so many values. In groups of 128 one-word texts fell below a cosine of 0.99.
DYNAMIC_GROUP = 64
# Models of the RoBERTa family count positions from behind the padding index.
_OFFSET_FAMILIES = ("roberta", "xlm-roberta", "camembert")


def compute_type(precision: Precision) -> str:
    """What matrix products are computed in: bf16 where the processor has it, unless exactness was asked for."""
    return "f32" if precision == "Float32" or not hardware.has_native_bfloat16() else "bf16"


def compile_for_cpu(model: ov.Model, precision: Precision) -> Any:
    """Compile for one batch at a time with every processor the container may use."""
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": compute_type(precision),
        # Pinned threads would wait for the core on which the event loop happens to run.
        "ENABLE_CPU_PINNING": False,
    }
    if precision == "Int8":
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = DYNAMIC_GROUP
    if (threads := hardware.allowed_processors()) is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        return ov.Core().compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot compile the model: {error}") from error


class PackedEngine:
    """The BERT family, from safetensors."""

    name = "openvino"
    padded = False

    def __init__(self, model: Description, precision: Precision) -> None:
        if model.pooling == "max":
            raise ModelError("pooling max is not supported for this architecture, allowed: mean, cls, lasttoken")
        self.precision = PRECISION_EIGHT_BIT if precision == "Int8" else compute_type(precision)
        self.dimensions = int(model.config["hidden_size"])
        self._pooling: Pooling = model.pooling
        offset = model.architecture in _OFFSET_FAMILIES
        self._first_position = int(model.config.get("pad_token_id", 1)) + 1 if offset else 0
        graph = bert_graph.build(model.config, weights.load(model.home), int8=precision == "Int8")
        self._request = compile_for_cpu(graph, precision).create_infer_request()

    def encode(self, texts: Sequence[TokenIds]) -> Vectors:
        """See `Engine.encode`."""
        inputs = packing.pack(texts, self._pooling, self._first_position)
        return _infer(self._request, inputs).copy()


class GraphFileEngine:
    """Any architecture, from the graph in the repository; it takes padded ids and gives hidden states of tokens."""

    name = "openvino"
    padded = True

    def __init__(self, model: Description, path: Path, precision: Precision) -> None:
        if precision == "Int8":
            raise ModelError(
                f"precision Int8 is not supported for {model.architecture}, whose graph comes as a file; allowed: Auto, Float32"
            )
        self.precision = compute_type(precision)
        self._pooling = model.pooling
        try:
            graph = ov.Core().read_model(path)
        except RuntimeError as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        self._names = {name for port in graph.inputs for name in port.get_names()}
        if unknown := self._names - {"input_ids", "attention_mask", "token_type_ids"}:
            raise ModelError(f"{path}: input {sorted(unknown)[0]} is not supported")
        self.dimensions = int(graph.outputs[0].get_partial_shape()[2].get_length())
        self._request = compile_for_cpu(graph, precision).create_infer_request()

    def encode(self, texts: Sequence[TokenIds]) -> Vectors:
        """See `Engine.encode`."""
        lengths = np.array([len(text) for text in texts])
        stands = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        ids = np.zeros(stands.shape, np.int64)
        ids[stands] = np.concatenate(list(texts))
        offered = {"input_ids": ids, "attention_mask": stands.astype(np.int64), "token_type_ids": np.zeros_like(ids)}
        hidden = _infer(self._request, {name: offered[name] for name in self._names})
        return pooled(hidden, stands, self._pooling)


def _infer(request: Any, inputs: dict[str, Any]) -> Vectors:
    try:
        result: Vectors = request.infer(inputs, share_inputs=True)[0]
    except RuntimeError as error:
        raise EngineError(f"OpenVINO failed: {error}") from error
    return result


def pooled(hidden: Vectors, stands: Any, pooling: Pooling) -> Vectors:
    """Pool `[texts, longest, hidden]` over the tokens that stand there."""
    rows, lengths = np.arange(len(hidden)), stands.sum(axis=1)
    if pooling == "cls":
        chosen = hidden[:, 0]
    elif pooling == "lasttoken":
        chosen = hidden[rows, lengths - 1]
    elif pooling == "max":
        chosen = np.where(stands[:, :, None], hidden, -np.inf).max(axis=1)
    else:
        chosen = np.einsum("tlh,tl->th", hidden, stands.astype(np.float32)) / lengths[:, None]
    return np.array(chosen, np.float32)
