"""Writes a Llama of 0.6 million random parameters with a tokenizer and a chat template: it proves the path, not the prose.

    python tiny_model.py DIRECTORY

Needs numpy, safetensors and tokenizers, no torch. The same arguments give the same bytes.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY, HIDDEN, INNER, LAYERS, HEADS, CONTEXT = 1024, 128, 256, 2, 2, 2048
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SPECIAL = [UNKNOWN, BEGIN, END, "<|user|>", "<|assistant|>", "<|system|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer() -> Tokenizer:
    """A byte-level BPE trained on made-up words, so that every text can be encoded."""
    chance = random.Random(0)

    def word() -> str:
        return "".join(chance.choice("bcdfghklmnprstvw") + chance.choice("aeiou") for _ in range(chance.randint(1, 3)))

    words = [word() for _ in range(800)]
    found = Tokenizer(models.BPE(unk_token=UNKNOWN))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    found.train_from_iterator((" ".join(chance.choices(words, k=12)) for _ in range(4000)), trainer)
    return found


def weights() -> dict[str, np.ndarray]:
    """Random weights under the names of the Llama architecture, float32."""
    drawn = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (drawn.standard_normal((rows, columns)) * 0.02).astype(np.float32)

    one = np.ones(HIDDEN, dtype=np.float32)
    found = {
        "model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN),
        "model.norm.weight": one,
        "lm_head.weight": matrix(VOCABULARY, HIDDEN),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        found |= {f"{prefix}self_attn.{name}_proj.weight": matrix(HIDDEN, HIDDEN) for name in "qkvo"}
        found |= {f"{prefix}mlp.{name}_proj.weight": matrix(INNER, HIDDEN) for name in ("gate", "up")}
        found[f"{prefix}mlp.down_proj.weight"] = matrix(HIDDEN, INNER)
        found |= {f"{prefix}{name}_layernorm.weight": one.copy() for name in ("input", "post_attention")}
    return found


def config() -> dict[str, object]:
    """`config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HIDDEN // HEADS,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": CONTEXT,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
    }


def write(directory: Path) -> None:
    """Everything vLLM reads."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer().save(str(directory / "tokenizer.json"))
    save_file(weights(), directory / "model.safetensors", metadata={"format": "pt"})
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "unk_token": UNKNOWN,
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": END,
        "chat_template": TEMPLATE,
    }
    for name, content in (("config.json", config()), ("tokenizer_config.json", settings)):
        (directory / name).write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
