"""Requests and answers as bytes: build the one, check the other."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from rag_runtime.contracts import embedding, headers
from rag_runtime.contracts.embedding import ModelCard
from rag_runtime.embeddings.errors import (
    EmbeddingError,
    InvalidAnswerError,
    OverloadedError,
    RejectedError,
    TextTooLongError,
    UnavailableError,
)

Vectors = NDArray[np.float32]

# OpenAI's and vLLM's words for it, which come without the code.
_WORDS_OF_TOO_LONG = "maximum context length"


def request_body(model: str, texts: Sequence[str], dimensions: int | None) -> bytes:
    """The JSON of an embeddings call. Lone surrogates cannot be sent and are refused here."""
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "base64"}
    if dimensions is not None:
        body["dimensions"] = dimensions
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise RejectedError(f"a text is not valid Unicode: {error}", status=400) from error


def vectors_of(answer: bytes, count: int, dimensions: int | None) -> Vectors:
    """Rows in the order of the texts. Raises `InvalidAnswerError` on a wrong count, length, number or an all-zero vector."""
    data = _entries(answer, "data")
    if len(data) != count:
        raise InvalidAnswerError(f"{len(data)} embeddings for {count} texts")
    by_index = {entry.get("index"): entry.get("embedding") for entry in data if isinstance(entry.get("index"), int | float)}
    if by_index.keys() != set(range(count)):
        raise InvalidAnswerError("the embeddings' indexes are not those of the texts")
    rows = [_row(by_index[place]) for place in range(count)]
    expected = dimensions or (len(rows[0]) if rows else 0)
    if wrong := [len(row) for row in rows if len(row) != expected or not expected]:
        raise InvalidAnswerError(f"an embedding of {wrong[0]} dimensions, expected {expected or 'some'}")
    vectors = np.stack(rows) if rows else np.empty((0, expected), np.float32)
    if not np.isfinite(vectors).all():
        raise InvalidAnswerError("an embedding contains NaN or infinity")
    if rows and not np.abs(vectors).max(axis=1).all():
        raise InvalidAnswerError("an embedding is all zeros")
    return vectors


def _row(value: object) -> Vectors:
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), "<f4")
        if isinstance(value, list):
            row = np.array(value, np.float32)
            if row.ndim != 1:
                raise ValueError("a list of lists")
            return row
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidAnswerError(f"an embedding that cannot be decoded: {error}") from error
    raise InvalidAnswerError(f"an embedding is {type(value).__name__}, expected base64 or an array")


def card_of(answer: bytes, model: str) -> ModelCard:
    """The card of `model` in a `/v1/models` answer; a bare card when the server does not list it."""
    for entry in _entries(answer, "data"):
        if entry.get("id") == model:
            try:
                return ModelCard.from_entry(entry)
            except ValidationError as error:
                raise InvalidAnswerError(f"the model list describes {model!r} wrongly: {error}") from error
    return ModelCard(id=model)


def _entries(answer: bytes, key: str) -> list[dict[str, Any]]:
    try:
        entries = orjson.loads(answer)[key]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidAnswerError(f"not an OpenAI answer: {answer[:80]!r}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidAnswerError(f"`{key}` is not a list of objects")
    return entries


def failure(status: int, answer_headers: Mapping[str, str], body: bytes) -> EmbeddingError:
    """The exception for an answer that is not 200."""
    message, code, param = _error_fields(body)
    text = f"HTTP {status}: {message}"
    if status in (429, 503):
        return OverloadedError(text, retry_after=_seconds(answer_headers.get("retry-after")))
    if status >= 500:
        return UnavailableError(text)
    kind = TextTooLongError if code == embedding.CODE_TEXT_TOO_LONG or _WORDS_OF_TOO_LONG in message else RejectedError
    return kind(text, status=status, code=code, param=param)


def _error_fields(body: bytes) -> tuple[str, str | None, str | None]:
    try:
        error = orjson.loads(body)["error"]
        param = error.get("param")
        return str(error["message"])[:500], error.get("code"), param if isinstance(param, str) else None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return body[:200].decode(errors="replace"), None, None


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text) if text is not None else None
    except ValueError:
        return None
    return max(seconds, 0.0) if seconds is not None and math.isfinite(seconds) else None


def truncated_of(answer_headers: Mapping[str, str]) -> int:
    """How many query texts the server cut at the token limit."""
    text = answer_headers.get(headers.TRUNCATED, "0")
    return int(text) if text.isdigit() else 0
