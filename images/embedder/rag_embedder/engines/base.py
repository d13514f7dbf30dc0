"""What every engine offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag_embedder.tokens import TokenIds

Vectors = NDArray[np.float32]


class Engine(Protocol):
    """Computes batches, one at a time, from one thread."""

    @property
    def name(self) -> str:
        """For humans: openvino, numpy, torch."""

    @property
    def precision(self) -> str:
        """What `Auto` became: bf16, f32, int8, ..."""

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""

    @property
    def padded(self) -> bool:
        """Whether a batch costs rows times the longest text; otherwise it costs the sum of the lengths."""

    def encode(self, texts: Sequence[TokenIds]) -> Vectors:
        """Pooled vectors, one row per text, not normalised. Raises `EngineError`."""


def normalized(vectors: Vectors) -> Vectors:
    """Rows of length one; computed in float32 whatever the engine computed in."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled
