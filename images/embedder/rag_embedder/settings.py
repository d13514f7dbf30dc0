"""The embedder's environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rag_runtime.contracts import pods
from rag_runtime.durations import Duration
from rag_runtime.settings import PodSettings, env

Precision = Literal["Auto", "Float32", "Int8"]


class EmbedderSettings(PodSettings):
    """Which model, how it is computed and how it is queued."""

    model: str = env(pods.ENV_MODEL, min_length=1)  # a directory, or a hub id
    model_name: str = env(pods.ENV_MODEL_NAME, "")  # the name clients ask for; default: the model
    model_revision: str = env(pods.ENV_MODEL_REVISION, "")  # commit of a hub id
    model_cache: Path = env(pods.ENV_MODEL_CACHE, Path(pods.MODEL_CACHE_DIR))
    dimensions: int | None = env(pods.ENV_DIMENSIONS, None, ge=1, le=32_768)  # default: the model's
    precision: Precision = env(pods.ENV_PRECISION, "Auto")
    port: int = env(pods.ENV_PORT, pods.EMBEDDER_PORT, ge=0, le=65_535)

    max_wait: Duration = env(pods.ENV_MAX_WAIT, 0.005, ge=0, le=1)
    max_batch_tokens: int = env(pods.ENV_MAX_BATCH_TOKENS, 16_384, ge=1)
    max_queue: int = env(pods.ENV_MAX_QUEUE, 4_096, ge=1)  # texts per lane
    max_bulk_batch: Duration = env(pods.ENV_MAX_BULK_BATCH, 0.05, gt=0, le=10)

    @property
    def served_name(self) -> str:
        """What `model` in a request has to be."""
        return self.model_name or self.model
