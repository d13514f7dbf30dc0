"""Static embeddings (sentence-transformers StaticEmbedding): the mean of rows of one table, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_embedder.engines.base import Vectors
from rag_embedder.errors import ModelError
from rag_embedder.model import weights
from rag_embedder.model.description import Description
from rag_embedder.tokens import TokenIds

TENSOR = "embedding.weight"


class StaticEngine:
    """No matrix product, hence no precision to choose."""

    name = "numpy"
    precision = "f32"
    padded = False

    def __init__(self, model: Description) -> None:
        tensors = weights.load(model.home)
        if TENSOR not in tensors or tensors[TENSOR].ndim != 2:
            raise ModelError(f"{model.home}: the weights have no matrix {TENSOR}")
        self._table = np.ascontiguousarray(tensors[TENSOR], np.float32)
        self.dimensions = int(self._table.shape[1])

    def encode(self, texts: Sequence[TokenIds]) -> Vectors:
        """See `Engine.encode`."""
        return np.stack([self._table[text].mean(axis=0, dtype=np.float32) for text in texts])
