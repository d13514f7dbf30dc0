"""What the torch engine decides before torch computes anything; torch itself is only in the GPU image."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rag_embedder.engines.torch_engine import TorchEngine
from rag_embedder.settings import Precision


def _engine(device: str, major: int) -> TorchEngine:
    """An engine on a GPU of compute capability `major`, where torch emulates bf16 if it lacks it."""

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return major >= 8 or including_emulation

    made: Any = TorchEngine.__new__(TorchEngine)
    made._device = device
    made._torch = SimpleNamespace(
        float32="float32", float16="float16", bfloat16="bfloat16", cuda=SimpleNamespace(is_bf16_supported=is_bf16_supported)
    )
    engine: TorchEngine = made
    return engine


@pytest.mark.parametrize(
    ("device", "major", "precision", "expected"),
    [
        ("cuda", 9, "Auto", ("bfloat16", "bf16")),
        ("cuda", 7, "Auto", ("float16", "f16")),
        ("cuda", 9, "Float32", ("float32", "f32")),
        ("cpu", 0, "Auto", ("float32", "f32")),
    ],
    ids=["a GPU with bf16", "a T4, whose bf16 is emulated", "as asked for", "no GPU"],
)
def test_half_precision_is_what_the_gpu_has_and_not_what_it_emulates(
    device: str, major: int, precision: Precision, expected: tuple[str, str]
) -> None:
    assert _engine(device, major)._type(precision) == expected
