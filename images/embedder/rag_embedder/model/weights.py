"""Tensors of safetensors files as numpy arrays, mapped into memory; bfloat16 and float16 widened to float32.

The format is eight bytes of header length, a JSON header, then the data. It is read here because numpy has no bfloat16, which the
library's numpy reader refuses.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_embedder.errors import ModelError

Tensors = Mapping[str, NDArray[Any]]

_MAX_HEADER_BYTES = 100_000_000  # the format's own bound
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U8": "u1", "BOOL": "?"}


def files(home: Path) -> list[Path]:
    """The safetensors files of a model in name order. Raises `ModelError` when there are none."""
    found = sorted(home.glob("*.safetensors"))
    if not found:
        others = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in home.glob(pattern)]
        hint = f"; {others[0]} could run code when it is loaded and is not read" if others else ""
        raise ModelError(f"{home}: no weights, allowed: safetensors{hint}")
    return found


def load(home: Path) -> dict[str, NDArray[Any]]:
    """Every tensor of every file in `home`, by name."""
    tensors: dict[str, NDArray[Any]] = {}
    for path in files(home):
        tensors.update(_read(path))
    return tensors


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        content = np.memmap(path, np.uint8, mode="r")
        (length,) = struct.unpack("<Q", content[:8].tobytes())
        if length > min(_MAX_HEADER_BYTES, len(content) - 8):
            raise ValueError(f"header of {length} bytes")
        header = json.loads(content[8 : 8 + length].tobytes())
        data = content[8 + length :]
        return {name: _tensor(data, entry) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise ModelError(f"{path} is not a complete safetensors file: {error}") from error


def _tensor(data: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError(f"data from {begin} to {end} of {len(data)} bytes")
    values = data[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) if entry["dtype"] in ("F16", "F64") else values
