"""The declared metadata fields of a document. A value that cannot be read as its type is left out, as the API says."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from rag_indexer.errors import DocumentError
from rag_indexer.parsing.documents import Parsed, whole
from rag_runtime.contracts.index import MetadataSpec
from rag_runtime.milvus.schema import MAX_METADATA_BYTES

MAX_STRING = 1_024
MAX_ITEMS = 64
# The largest fields that a reason names.
_NAMED = 5


def metadata_of(path: str, parsed: Parsed, declared: Iterable[MetadataSpec]) -> dict[str, Any]:
    """The values of the declared fields that this document has. Raises `DocumentError` when a row cannot hold them."""
    found = ((spec.name, _typed(spec.type, _raw(path, parsed, spec))) for spec in declared)
    kept = {name: value for name, value in found if value is not None}
    if (size := _bytes(kept)) > MAX_METADATA_BYTES:
        largest = sorted(kept, key=lambda name: _bytes(kept[name]), reverse=True)[:_NAMED]
        named = ", ".join(f"{name} {_bytes(kept[name])}" for name in largest)
        raise DocumentError(f"declared metadata of {size} bytes, allowed: at most {MAX_METADATA_BYTES}; bytes by field: {named}")
    return kept


def _bytes(value: Any) -> int:
    """What a value takes in a row."""
    return len(orjson.dumps(value))


def recipe(declared: Iterable[MetadataSpec]) -> str:
    """A digest of the declarations: when it changes, rows are written again with the vectors they have."""
    text = "\n".join(spec.model_dump_json() for spec in declared)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _raw(path: str, parsed: Parsed, spec: MetadataSpec) -> Any:
    if spec.from_.path_pattern is not None:
        found = re.search(spec.from_.path_pattern, path)
        return found[1] if found and found.re.groups else None
    return parsed.fields.get(spec.from_.front_matter or spec.from_.json_field or "")


def _typed(kind: str, value: Any) -> Any:
    if value is None:
        return None
    converters: Mapping[str, Callable[[Any], Any]] = {
        "String": _string,
        "Integer": _integer,
        "Number": _number,
        "Boolean": _boolean,
        "StringList": _strings,
    }
    try:
        return converters[kind](value)
    except (ValueError, OverflowError):  # no number, or one too large to be written out
        return None


def _string(value: Any) -> str | None:
    if isinstance(value, dict | list | tuple):
        return None
    return whole(str(value).lower() if isinstance(value, bool) else str(value))[:MAX_STRING]


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**53 else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> bool | None:
    words = {"true": True, "yes": True, "false": False, "no": False}
    return value if isinstance(value, bool) else words.get((_string(value) or "").strip().lower())


def _strings(value: Any) -> list[str] | None:
    if isinstance(value, dict | tuple):
        return None
    items = value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
    return [text for item in items[:MAX_ITEMS] if (text := _string(item))] or None
