"""A JSON object as a document: `text` (or `content`, `body`), `title`, `url` (or `uri`); every other member is a field."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

import orjson

from rag_indexer.errors import DocumentError
from rag_indexer.parsing.documents import Parsed

_TEXT = ("text", "content", "body")
_URI = ("url", "uri")


def parse_json(content: bytes) -> Parsed:
    """Parse one object. Raises `DocumentError` when it has no text member."""
    try:
        record = orjson.loads(content.removeprefix(BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DocumentError(f"a JSON {type(record).__name__}, expected an object")
    text = _first(record, _TEXT)
    if text is None:
        raise DocumentError(f"no member {', '.join(_TEXT[:-1])} or {_TEXT[-1]} with a string")
    title = record.get("title")
    return Parsed(text, title if isinstance(title, str) else "", _first(record, _URI) or "", record)


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((record[name] for name in names if isinstance(record.get(name), str)), None)
