"""Reading safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rag_embedder.errors import ModelError
from rag_embedder.model import weights


def test_tensors_written_by_the_library_read_back_from_all_files(tmp_path: Path) -> None:
    first = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([[1], [2]], np.int64)}
    save_file(first, tmp_path / "model-1.safetensors")
    save_file({"b": np.array([0.5, -2], np.float16)}, tmp_path / "model-2.safetensors")
    read = weights.load(tmp_path)
    assert read["a"].tolist() == first["a"].tolist()
    assert read["n"].tolist() == [[1], [2]]
    assert (read["b"].dtype, read["b"].tolist()) == (np.float32, [0.5, -2])


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}'
    data = np.array([0x3F80, 0xC000, 0x0000], "<u2").tobytes()  # 1, -2, 0
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    assert weights.load(tmp_path)["w"].tolist() == [1.0, -2.0, 0.0]


def test_pickled_weights_are_not_read_and_the_reason_is_said(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match=r"allowed: safetensors; pytorch_model\.bin could run code"):
        weights.files(tmp_path)


@pytest.mark.parametrize("keep", [4, 20, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    save_file({"a": np.ones(8, np.float32)}, tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:keep])
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        weights.load(tmp_path)
