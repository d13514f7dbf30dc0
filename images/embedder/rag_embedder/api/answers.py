"""Build answers as bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from rag_embedder.api.requests import Encoding
from rag_embedder.engines.base import Vectors
from rag_embedder.errors import RequestError

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def embeddings(vectors: Vectors, encoding: Encoding, model: str, tokens: int) -> bytes:
    """The OpenAI answer. Floats are little-endian float32 under base64."""
    rows: list[Any]
    if encoding == "base64":
        little = np.ascontiguousarray(vectors, "<f4")
        rows = [base64.b64encode(row).decode("ascii") for row in little]
    else:
        rows = list(vectors)
    data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)]
    answer = {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def failure(error: RequestError) -> Answer:
    """OpenAI's error object."""
    body = {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}
    return Answer(error.status, orjson.dumps(body), headers=error.headers)


def model_list(entries: list[dict[str, Any]]) -> bytes:
    """The OpenAI model list."""
    return orjson.dumps({"object": "list", "data": entries})
