"""Which engine computes which model on this machine, decided from the description alone."""

from __future__ import annotations

from pathlib import Path

from rag_embedder.engines.base import Engine
from rag_embedder.errors import ModelError
from rag_embedder.model import weights
from rag_embedder.model.description import Description
from rag_embedder.settings import Precision


def has_own_graph(model: Description) -> bool:
    """Whether safetensors alone are enough: a static table, or an architecture whose graph we build."""
    from rag_embedder.engines import torch_engine

    return model.kind == "static" or _packable(model) or torch_engine.available()


def _packable(model: Description) -> bool:
    from rag_embedder.engines import bert_graph

    return bert_graph.supports(model.config) and model.pooling != "max"


def graph_file(model: Description) -> Path | None:
    """The graph that the repository brings, OpenVINO's own format first."""
    from rag_embedder.engines.openvino_engine import GRAPH_FILES

    return next((model.root / name for name in GRAPH_FILES if (model.root / name).exists()), None)


def weight_files(model: Description) -> list[Path]:
    """The files whose digests are the identity of the weights: safetensors, whatever computes; a graph only where there are none."""
    graph = graph_file(model)
    if graph is None or any(model.home.glob("*.safetensors")):
        return weights.files(model.home)
    data = {".xml": graph.with_suffix(".bin"), ".onnx": graph.with_name(graph.name + "_data")}[graph.suffix]
    return [graph, *([data] if data.exists() else [])]


def select(model: Description, precision: Precision) -> Engine:
    """The engine, loaded. Raises `ModelError` with the reason when none can serve the model here."""
    from rag_embedder.engines import bert_graph, openvino_engine, torch_engine
    from rag_embedder.engines.static_engine import StaticEngine

    if model.kind == "static":
        return StaticEngine(model)
    if torch_engine.has_gpu():
        return torch_engine.TorchEngine(model, precision)
    if _packable(model):
        return openvino_engine.PackedEngine(model, precision)
    if (graph := graph_file(model)) is not None:
        return openvino_engine.GraphFileEngine(model, graph, precision)
    if torch_engine.available():
        return torch_engine.TorchEngine(model, precision)
    families = ", ".join(bert_graph.FAMILIES)
    raise ModelError(
        f"architecture {model.architecture!r} needs a graph in openvino/ or onnx/ of the repository, or the image with torch; "
        f"from safetensors alone: {families} and static embeddings"
    )
