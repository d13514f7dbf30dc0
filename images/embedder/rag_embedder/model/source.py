"""Find the model's directory: a mounted one, or a snapshot of a hub repository at a pinned commit.

From a hub only configuration, tokenizer and weights in formats that hold no code are fetched (safetensors; for architectures
without an engine of ours also OpenVINO or ONNX graphs). Pickles and Python files are never downloaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from rag_embedder.errors import ModelError

# (repository, commit, patterns) -> directory of the snapshot
Download = Callable[[str, str, Sequence[str]], Path]

DESCRIPTION = ("*.json", "vocab.txt", "*/config.json", "*/tokenizer.json")
SAFETENSORS = ("*.safetensors", "*/model.safetensors")
GRAPHS = (("openvino/openvino_model.xml", "openvino/openvino_model.bin"), ("onnx/model.onnx", "onnx/model.onnx_data"))

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_HUB_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")


def find(model: str, revision: str, download: Download, has_own_graph: Callable[[Path], bool]) -> Path:
    """The directory of `model`. `has_own_graph` says, from the configuration alone, whether our engines take safetensors.

    Raises `ModelError` with what is wrong and what is allowed.
    """
    if model.startswith(("/", "./", "../")):
        return _directory(Path(model))
    if not _HUB_ID.match(model):
        raise ModelError(f"RAG_MODEL={model!r} is neither an absolute directory nor a hub id such as owner/name")
    if not _COMMIT.match(revision):
        raise ModelError(f"RAG_MODEL_REVISION={revision!r}: a model from a hub needs its full commit, 40 hex digits")
    return _snapshot(model, revision, download, has_own_graph)


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise ModelError(f"RAG_MODEL={str(path)!r} is not a directory")
    return path


def _snapshot(model: str, revision: str, download: Download, has_own_graph: Callable[[Path], bool]) -> Path:
    try:
        home = download(model, revision, DESCRIPTION)
        # The safetensors are the model's identity even where a graph computes it.
        graphs = () if has_own_graph(home) else tuple(pattern for pair in GRAPHS for pattern in pair)
        return download(model, revision, (*DESCRIPTION, *SAFETENSORS, *graphs))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"failed to download {model} at {revision}: {type(error).__name__}: {error}") from error


def hub_download(cache: Path) -> Download:
    """Downloads into `cache` with the hub's client, which resumes and verifies."""

    def download(repository: str, commit: str, patterns: Sequence[str]) -> Path:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repository, revision=commit, allow_patterns=list(patterns), cache_dir=cache))

    return download
