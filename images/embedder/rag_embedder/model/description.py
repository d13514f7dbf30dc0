"""What a sentence-transformers repository says about its model: kind, pooling, limit, prompts. Reads JSON only, no weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rag_embedder.errors import ModelError

Kind = Literal["transformer", "static"]
Pooling = Literal["mean", "cls", "max", "lasttoken"]

POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "max", "lasttoken")
# A static model has no limit of its own; this one bounds the work of a call.
STATIC_MAX_TOKENS = 8_192
# Tokenizers write 1e30 where nobody set a limit: beyond this no limit is declared.
MOST_TOKENS = 2**31 - 1

# sentence-transformers' default when a repository has no modules.json.
_DEFAULT_MODULES: list[dict[str, Any]] = [{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}]
_SUPPORTED = "Transformer with Pooling, or StaticEmbedding, each with or without Normalize"
# Names under which authors keep the prompt of documents, first wins; sentence-transformers looks for the same.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True)
class Description:
    """One model as described by its files."""

    root: Path
    home: Path  # where weights and tokenizer lie: root, or a module's directory
    kind: Kind
    config: dict[str, Any]  # config.json of a transformer
    pooling: Pooling
    normalize: bool
    max_tokens: int
    query_prompt: str
    document_prompt: str

    @property
    def architecture(self) -> str:
        """`model_type` of a transformer, `static` otherwise."""
        return str(self.config.get("model_type", "")) if self.kind == "transformer" else "static"


def describe(root: Path) -> Description:
    """Read a model's directory. Raises `ModelError` naming the file and what is allowed."""
    modules = _read(root / "modules.json", _DEFAULT_MODULES)
    by_type = {str(module["type"]).rsplit(".", 1)[-1]: root / module["path"] for module in modules}
    unknown = sorted(set(by_type) - {"Transformer", "Pooling", "Normalize", "StaticEmbedding"})
    if unknown:
        raise ModelError(f"{root / 'modules.json'}: module {unknown[0]} is not supported, allowed: {_SUPPORTED}")
    normalize = "Normalize" in by_type
    query_prompt, document_prompt = _prompts(root)
    if "StaticEmbedding" in by_type:
        home = by_type["StaticEmbedding"]
        return Description(root, home, "static", {}, "mean", normalize, STATIC_MAX_TOKENS, query_prompt, document_prompt)
    if "Transformer" not in by_type:
        raise ModelError(f"{root / 'modules.json'}: no module that embeds, allowed: {_SUPPORTED}")
    home = by_type["Transformer"]
    config = _read(home / "config.json")
    pooling = _pooling(by_type.get("Pooling"))
    return Description(root, home, "transformer", config, pooling, normalize, _limit(home, config), query_prompt, document_prompt)


def _read(path: Path, default: Any = None) -> Any:
    if not path.exists():
        if default is not None:
            return default
        raise ModelError(f"{path} is missing")
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _pooling(directory: Path | None) -> Pooling:
    if directory is None or not (directory / "config.json").exists():
        return "mean"
    config = _read(directory / "config.json")
    named = config.get("pooling_mode")  # the newer form; the older has one flag per mode
    chosen = [named] if named else [_OLD_FLAGS.get(flag, flag) for flag, on in config.items() if flag.startswith("pooling_mode_") and on]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise ModelError(f"{directory / 'config.json'}: pooling {chosen} is not supported, allowed: one of {', '.join(POOLINGS)}")
    return next(mode for mode in POOLINGS if mode == chosen[0])


_OLD_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
}


def _limit(home: Path, config: dict[str, Any]) -> int:
    """The smallest limit anyone declares; position embeddings beyond the padding index cannot be used."""
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.get("pad_token_id", 1) + 1
    declared = _read(home / "sentence_bert_config.json", {}).get("max_seq_length")
    tokenizer = _read(home / "tokenizer_config.json", {}).get("model_max_length")
    limits = [int(limit) for limit in (declared or tokenizer, positions) if limit and limit <= MOST_TOKENS]
    if not limits:
        raise ModelError(f"{home}: no token limit in sentence_bert_config.json, tokenizer_config.json or config.json")
    return min(limits)


def _prompts(root: Path) -> tuple[str, str]:
    config = _read(root / "config_sentence_transformers.json", {})
    prompts = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name") or "", "")
    document = next((prompts[name] for name in _DOCUMENT_PROMPTS if name in prompts), default)
    return str(prompts.get("query", default) or ""), str(document or "")
