"""sentence-transformers on torch: for GPUs, and for architectures that no other engine knows. Only in images that carry torch.

Half precision (bf16 where the GPU has it, else fp16), attention by torch's scaled dot product, batches padded to few lengths. No
torch.compile: it recompiles for shapes and wants a compiler and a writable cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rag_embedder.engines.base import Vectors
from rag_embedder.errors import EngineError, ModelError
from rag_embedder.model import weights
from rag_embedder.model.description import Description
from rag_embedder.settings import Precision
from rag_embedder.tokens import TokenIds

LENGTH_STEP = 32


def available() -> bool:
    """Whether this image carries sentence-transformers and torch."""
    from importlib.util import find_spec

    return find_spec("torch") is not None and find_spec("sentence_transformers") is not None


def has_gpu() -> bool:
    """Whether torch is there and sees a GPU."""
    if not available():
        return False
    import torch

    return bool(torch.cuda.is_available())


class TorchEngine:
    """One model on one device."""

    name = "torch"
    padded = True

    def __init__(self, model: Description, precision: Precision) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        if precision == "Int8":
            raise ModelError("precision Int8 is not supported by this engine, allowed: Auto, Float32")
        weights.files(model.home)  # refuses anything but safetensors before torch looks at it
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype, self.precision = self._type(precision)
        try:
            self._model: Any = SentenceTransformer(
                str(model.root),
                device=self._device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": dtype, "attn_implementation": "sdpa", "use_safetensors": True},
            ).eval()
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ModelError(f"sentence-transformers cannot load {model.root}: {error}") from error
        self._padding = int(model.config.get("pad_token_id") or 0)
        self.dimensions = int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[TokenIds]) -> Vectors:
        """See `Engine.encode`; here the model's own modules pool, and may normalise."""
        lengths = np.array([len(text) for text in texts])
        longest = -(-int(lengths.max()) // LENGTH_STEP) * LENGTH_STEP
        stands = np.arange(longest)[None, :] < lengths[:, None]
        ids = np.full(stands.shape, self._padding, np.int64)
        ids[stands] = np.concatenate(list(texts))
        torch = self._torch
        try:
            with torch.inference_mode():
                features = {"input_ids": ids, "attention_mask": stands.astype(np.int64)}
                moved = {name: torch.from_numpy(values).to(self._device, non_blocking=True) for name, values in features.items()}
                vectors: Vectors = self._model(moved)["sentence_embedding"].float().cpu().numpy()
        except RuntimeError as error:  # out of memory among them
            raise EngineError(f"torch failed: {error}") from error
        return vectors

    def _type(self, precision: Precision) -> tuple[Any, str]:
        torch = self._torch
        if precision == "Float32" or self._device == "cpu":
            return torch.float32, "f32"
        return (torch.bfloat16, "bf16") if torch.cuda.is_bf16_supported(including_emulation=False) else (torch.float16, "f16")
