"""Parse an embeddings request. Everything wrong gets one sentence that names the field, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from rag_embedder.errors import RequestError, bad_request
from rag_runtime.contracts import headers
from rag_runtime.contracts.embedding import CODE_MODEL_NOT_FOUND, MAX_INPUTS

Encoding = Literal["float", "base64"]
_LANES = (headers.LANE_QUERY, headers.LANE_BULK)
_KNOWN = frozenset({"model", "input", "encoding_format", "dimensions", "user"})


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What a caller asks for."""

    texts: list[str]
    encoding: Encoding
    dimensions: int


def parse(body: bytes, model: str, native_dimensions: int, default_dimensions: int) -> EmbeddingRequest:
    """The request in `body`. Raises `RequestError`."""
    asked = _object(body)
    if unknown := {name for name, value in asked.items() if value is not None} - _KNOWN:
        name = min(unknown)
        raise bad_request(f"{name}: unknown parameter, allowed: {', '.join(sorted(_KNOWN))}", name)
    if asked.get("model") != model:
        raise _wrong_model(asked.get("model"), model)
    return EmbeddingRequest(
        _texts(asked.get("input")),
        _encoding(asked.get("encoding_format")),
        _dimensions(asked.get("dimensions"), native_dimensions, default_dimensions),
    )


def lane_of(sent: Mapping[bytes, bytes]) -> str:
    """The lane a request asks for; query when it does not say. Raises `RequestError`."""
    text = sent.get(headers.LANE.encode(), headers.LANE_QUERY.encode()).decode("latin-1")
    if text not in _LANES:
        raise bad_request(f"header {headers.LANE}: {text[:40]!r}, allowed: {', '.join(_LANES)}")
    return text


def deadline_of(sent: Mapping[bytes, bytes]) -> float | None:
    """Seconds the caller will still wait; None when it does not say. Raises `RequestError`."""
    text = sent.get(headers.DEADLINE.encode())
    if text is None:
        return None
    if not text.isdigit() or len(text) > 12:
        raise bad_request(f"header {headers.DEADLINE}: {text[:40].decode('latin-1')!r}, allowed: whole milliseconds")
    return int(text) / 1000


def _object(body: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is not valid JSON in UTF-8: {error}") from error
    if not isinstance(asked, dict):
        raise bad_request(f"the body is {_kind(asked)}, allowed: a JSON object")
    return asked


def _wrong_model(asked: object, model: str) -> RequestError:
    if asked is None:
        return bad_request(f"model is missing, allowed: {model}", "model")
    message = f"model: {str(asked)[:200]!r} is not served here, allowed: {model}"
    return RequestError(404, message, param="model", code=CODE_MODEL_NOT_FOUND)


def _texts(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise bad_request(f"input is {_kind(given)}, allowed: a text or an array of 1 to {MAX_INPUTS} texts", "input")
    if len(texts) > MAX_INPUTS:
        raise bad_request(f"input has {len(texts)} texts, allowed: at most {MAX_INPUTS}", "input")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise bad_request(f"input[{place}] is {_kind(text)}, allowed: a text (arrays of tokens are not supported)", f"input[{place}]")
        if not text or text.isspace():
            raise bad_request(f"input[{place}] is empty", f"input[{place}]")
    return texts


def _encoding(given: object) -> Encoding:
    if given is None or given == "float":
        return "float"
    if given == "base64":
        return "base64"
    raise bad_request(f"encoding_format: {str(given)[:40]!r}, allowed: float, base64", "encoding_format")


def _dimensions(given: object, native: int, default: int) -> int:
    if given is None:
        return default
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= native:
        raise bad_request(f"dimensions: {str(given)[:40]}, allowed: 1 to {native}", "dimensions")
    return given


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    if value == []:
        return "an empty array"
    return "missing" if value is None else names.get(type(value), type(value).__name__)
