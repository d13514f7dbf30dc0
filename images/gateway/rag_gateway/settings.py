"""The gateway's settings: where the table is, and the bounds of everything that could take long or grow."""

from __future__ import annotations

from pathlib import Path

from rag_runtime.contracts import pods
from rag_runtime.durations import Duration
from rag_runtime.settings import PodSettings, env


class GatewaySettings(PodSettings):
    """Environment of the gateway. Exactly one of `table_configmap` and `table_file` is set."""

    table_configmap: str | None = env(pods.ENV_TABLE_CONFIGMAP, None)
    table_file: Path | None = env(pods.ENV_TABLE_FILE, None)
    host: str | None = env("RAG_HOST", None)
    port: int = env("RAG_PORT", pods.GATEWAY_PORT, ge=0, le=65_535)
    preview_port: int = env("RAG_PREVIEW_PORT", pods.GATEWAY_PREVIEW_PORT, ge=0, le=65_535)
    # One file a key, named by its owner. A directory that exists means that keys are asked for, even when it is empty.
    api_keys_dir: Path = env("RAG_API_KEYS_DIR", Path(pods.API_KEYS_DIR))
    credentials_dir: Path = env("RAG_CREDENTIALS_DIR", Path(pods.CREDENTIALS_DIR))

    # A request without a generator, and the embedding and searching of one with it.
    retrieval_timeout: Duration = env("RAG_RETRIEVAL_TIMEOUT", 10.0, gt=0)
    # From the prompt to the generator's first token; then the passages are quoted instead.
    first_token_timeout: Duration = env("RAG_FIRST_TOKEN_TIMEOUT", 30.0, gt=0)
    # Between two tokens; a longer silence is a failure.
    token_timeout: Duration = env("RAG_TOKEN_TIMEOUT", 20.0, gt=0)
    # The whole request, streams included.
    request_timeout: Duration = env("RAG_REQUEST_TIMEOUT", 600.0, gt=0)

    # Requests that may run at once; more are told to come back (429).
    max_requests: int = env("RAG_MAX_REQUESTS", 512, ge=1)
    max_body_bytes: int = env("RAG_MAX_BODY_BYTES", 2 * 1024 * 1024, ge=1024)
    # Memory for query vectors: 1,536 bytes each at 384 dimensions.
    vector_cache_bytes: int = env("RAG_VECTOR_CACHE_BYTES", 64 * 1024 * 1024, ge=0)
