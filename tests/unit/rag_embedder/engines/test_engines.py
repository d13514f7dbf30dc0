"""Engines on small random models, compared with arithmetic in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset15 as ops
from safetensors.numpy import save_file

from rag_embedder.engines.base import normalized
from rag_embedder.engines.openvino_engine import GraphFileEngine, PackedEngine
from rag_embedder.engines.select import select, weight_files
from rag_embedder.engines.static_engine import StaticEngine
from rag_embedder.errors import ModelError
from rag_embedder.model.description import Description, Pooling
from unit.rag_embedder.engines import bert_reference

HIDDEN, HEADS, LAYERS, INNER, WORDS, POSITIONS = 32, 4, 2, 64, 50, 40
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "layer_norm_eps": 1e-12,
}
TEXTS = [np.random.default_rng(7).integers(0, WORDS, length).astype(np.int32) for length in (5, 1, 17, 16, 33)]


def random_weights(prefix: str = "") -> dict[str, NDArray[np.float32]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        dense = {f"attention.self.{name}": (HIDDEN, HIDDEN) for name in ("query", "key", "value")}
        dense |= {"attention.output.dense": (HIDDEN, HIDDEN), "intermediate.dense": (INNER, HIDDEN), "output.dense": (HIDDEN, INNER)}
        for name, shape in dense.items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
    for name in norms:
        shapes |= {name + ".weight": (HIDDEN,), name + ".bias": (HIDDEN,)}
    random = np.random.default_rng(3)
    return {prefix + name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def description(root: Path, pooling: Pooling = "mean", **config: Any) -> Description:
    return Description(root, root, "transformer", {**CONFIG, **config}, pooling, True, 32, "", "")


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_the_packed_graph_computes_berts_arithmetic(tmp_path: Path, pooling: Pooling, activation: str) -> None:
    save_file(random_weights(), tmp_path / "model.safetensors")
    engine = PackedEngine(description(tmp_path, pooling, hidden_act=activation), "Float32")
    config = {**CONFIG, "hidden_act": activation}
    expected = [bert_reference.encode(config, random_weights(), text.tolist(), pooling=pooling) for text in TEXTS]
    np.testing.assert_allclose(engine.encode(TEXTS), np.stack(expected), rtol=2e-4, atol=2e-5)


def test_a_text_gives_the_same_vector_alone_and_in_any_company(tmp_path: Path) -> None:
    save_file(random_weights(), tmp_path / "model.safetensors")
    engine = PackedEngine(description(tmp_path), "Float32")
    alone = np.concatenate([engine.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(engine.encode(TEXTS), alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(engine.encode(TEXTS[::-1])[::-1], alone, rtol=1e-4, atol=1e-5)


def test_roberta_counts_positions_from_behind_its_padding_and_may_prefix_its_tensors(tmp_path: Path) -> None:
    save_file(random_weights("roberta."), tmp_path / "model.safetensors")
    engine = PackedEngine(description(tmp_path, model_type="xlm-roberta", pad_token_id=1), "Float32")
    expected = bert_reference.encode(CONFIG, random_weights(), TEXTS[0].tolist(), pooling="mean", first_position=2)
    np.testing.assert_allclose(engine.encode(TEXTS[:1])[0], expected, rtol=2e-4, atol=2e-5)


def test_8_bit_weights_stay_close(tmp_path: Path) -> None:
    save_file(random_weights(), tmp_path / "model.safetensors")
    exact = normalized(PackedEngine(description(tmp_path), "Float32").encode(TEXTS))
    narrow = PackedEngine(description(tmp_path), "Int8")
    cosines = (normalized(narrow.encode(TEXTS)) * exact).sum(axis=1)
    assert narrow.precision == "int8"
    assert 0.99 < cosines.min() < 1 - 1e-7


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    weights = random_weights()
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"no tensor encoder\.layer\.1\.output\.dense\.bias"):
        PackedEngine(description(tmp_path), "Float32")


def static_model(root: Path) -> tuple[Description, NDArray[np.float32]]:
    table = np.random.default_rng(1).normal(size=(WORDS, 8)).astype(np.float32)
    save_file({"embedding.weight": table}, root / "model.safetensors")
    return Description(root, root, "static", {}, "mean", True, 8192, "", ""), table


def test_a_static_model_is_the_mean_of_its_rows(tmp_path: Path) -> None:
    model, table = static_model(tmp_path)
    expected = np.stack([table[text].mean(axis=0) for text in TEXTS])
    np.testing.assert_allclose(StaticEngine(model).encode(TEXTS), expected, rtol=1e-5, atol=1e-6)


def graph(path: Path) -> NDArray[np.float32]:
    """An exported graph in small: hidden states are rows of a table; input names as exporters choose them."""
    table = np.random.default_rng(2).normal(size=(WORDS, 6)).astype(np.float32)
    ids, mask = (ops.parameter([-1, -1], ov.Type.i64, name=name) for name in ("input_ids", "attention_mask"))
    for parameter, name in ((ids, "input_ids"), (mask, "attention_mask")):
        parameter.output(0).set_names({name})
    shown = ops.convert(ops.unsqueeze(mask, ops.constant(np.int64(2))), "f32")
    hidden = ops.multiply(ops.gather(ops.constant(table), ids, ops.constant(np.int64(0))), shown)
    path.parent.mkdir()
    ov.save_model(ov.Model([ops.result(hidden)], [ids, mask], "exported"), path, compress_to_fp16=False)
    return table


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
def test_a_graph_that_comes_with_the_repository_is_pooled_here(tmp_path: Path, pooling: Pooling) -> None:
    table = graph(tmp_path / "openvino" / "openvino_model.xml")
    model = description(tmp_path, pooling, model_type="mpnet")
    engine = select(model, "Float32")
    pools = {
        "mean": lambda rows: rows.mean(0),
        "cls": lambda rows: rows[0],
        "max": lambda rows: rows.max(0),
        "lasttoken": lambda rows: rows[-1],
    }
    expected = np.stack([pools[pooling](table[text]) for text in TEXTS])
    assert isinstance(engine, GraphFileEngine)
    np.testing.assert_allclose(engine.encode(TEXTS), expected, rtol=1e-5, atol=1e-5)


def test_the_weights_identity_is_the_safetensors_even_where_a_graph_computes(tmp_path: Path) -> None:
    graph(tmp_path / "openvino" / "openvino_model.xml")
    model = description(tmp_path, model_type="mpnet")
    assert [path.suffix for path in weight_files(model)] == [".xml", ".bin"]
    save_file(random_weights(), tmp_path / "model.safetensors")
    assert [path.name for path in weight_files(model)] == ["model.safetensors"]


def test_an_architecture_nobody_computes_is_refused_with_what_would_help(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(ModelError, match=r"'mamba' needs a graph in openvino/ or onnx/ .* bert, roberta, xlm-roberta"):
        select(description(tmp_path, model_type="mamba"), "Auto")
