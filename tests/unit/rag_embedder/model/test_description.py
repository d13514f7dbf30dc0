"""Reading what a repository says about its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag_embedder.errors import ModelError
from rag_embedder.model.description import STATIC_MAX_TOKENS, describe

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.base.modules.Normalize"}


def repository(root: Path, **files: Any) -> Path:
    """Files by name with `__` for `/`, as JSON; a transformer unless said otherwise."""
    contents = {
        "modules": [TRANSFORMER, POOLING, NORMALIZE],
        "config": {"model_type": "bert", "max_position_embeddings": 512},
        "1_Pooling__config": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
        **files,
    }
    for name, content in contents.items():
        path = root / (name.replace("__", "/") + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(json.dumps(content))
    return root


def test_pooling_normalisation_and_limit_come_from_the_modules(tmp_path: Path) -> None:
    model = describe(repository(tmp_path, sentence_bert_config={"max_seq_length": 256}))
    assert (model.pooling, model.normalize, model.max_tokens, model.kind) == ("mean", True, 256, "transformer")


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_both_forms_of_the_pooling_configuration_are_read(tmp_path: Path, config: dict[str, Any], pooling: str) -> None:
    assert describe(repository(tmp_path, **{"1_Pooling__config": config})).pooling == pooling


@pytest.mark.parametrize("config", [{"pooling_mode": "weightedmean"}, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}])
def test_a_pooling_we_do_not_compute_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="allowed: one of mean, cls, max, lasttoken"):
        describe(repository(tmp_path, **{"1_Pooling__config": config}))


def test_an_unknown_module_is_refused_by_name(tmp_path: Path) -> None:
    dense = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    with pytest.raises(ModelError, match="module Dense is not supported"):
        describe(repository(tmp_path, modules=[TRANSFORMER, POOLING, dense]))


def test_without_normalize_vectors_keep_their_length(tmp_path: Path) -> None:
    assert not describe(repository(tmp_path, modules=[TRANSFORMER, POOLING])).normalize


def test_roberta_loses_the_positions_behind_its_padding(tmp_path: Path) -> None:
    config = {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    assert describe(repository(tmp_path, config=config)).max_tokens == 512


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, ("query: ", "passage: ")),
        ({"prompts": {"query": "Q: ", "document": "D: ", "passage": "P: "}}, ("Q: ", "D: ")),
        ({"prompts": {"any": "A: "}, "default_prompt_name": "any"}, ("A: ", "A: ")),
        ({"prompts": {}, "default_prompt_name": None}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_the_models_own_prompts_are_found(tmp_path: Path, prompts: dict[str, Any], expected: tuple[str, str]) -> None:
    model = describe(repository(tmp_path, config_sentence_transformers=prompts))
    assert (model.query_prompt, model.document_prompt) == expected


def test_a_tokenizers_word_for_no_limit_is_none(tmp_path: Path) -> None:
    unlimited = {"model_max_length": 1000000000000000019884624838656}
    assert describe(repository(tmp_path, tokenizer_config=unlimited)).max_tokens == 512

    with pytest.raises(ModelError, match="no token limit in"):
        describe(repository(tmp_path, tokenizer_config=unlimited, config={"model_type": "bert"}))


def test_a_static_model_has_no_transformer_and_a_generous_limit(tmp_path: Path) -> None:
    model = describe(repository(tmp_path, modules=[{"path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"}]))
    assert (model.kind, model.max_tokens, model.home) == ("static", STATIC_MAX_TOKENS, tmp_path / "0_StaticEmbedding")


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (repository(tmp_path) / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        describe(tmp_path)


def test_an_empty_directory_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        describe(tmp_path)
