"""`Record` as JSON for status, and back. What a newer operator added is ignored; what an older one lacks has its default."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from rag_operator.model.plan import Record

_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def dump(record: Record) -> dict[str, Any]:
    """Return the record as JSON values, defaults left out."""
    written: dict[str, Any] = _RECORD.dump_python(record, mode="json", exclude_defaults=True)
    return written


def load(stored: dict[str, Any] | None) -> Record:
    """Return the record of a stored object. Raises `pydantic.ValidationError` when it is not one."""
    return _RECORD.validate_python(stored or {})


def loads(stored: str | None) -> Record:
    """Return the record of its JSON text. Raises `ValueError` when it is none."""
    return load(json.loads(stored) if stored else None)


def dumps(record: Record) -> str:
    """Return the record as JSON text, always the same for equal records."""
    return json.dumps(dump(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
