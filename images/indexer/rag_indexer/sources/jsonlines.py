"""A JSON Lines file is many documents: `<path>#<id>`, one a line. A line's version is the hash of its bytes.

So a file that grew by one line makes one new document, and the others are not even parsed again.
"""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from rag_indexer.sources.port import Entry
from rag_runtime.contracts.collections import document_id

SUFFIXES = (".jsonl", ".ndjson")
MAX_ID = 512


def is_container(path: str) -> bool:
    """Whether a file holds many documents."""
    return path.lower().endswith(SUFFIXES)


def documents(source: str, file: Entry, content: bytes) -> Iterator[Entry]:
    """The documents of a file of `source`. A line that cannot be one is an entry with a `problem`, so that it is seen and counted."""
    seen: set[str] = set()
    start = 0
    for number, line in enumerate(content.split(b"\n"), 1):
        if stripped := line.strip():
            identifier, problem = _identifier(stripped, number, seen)
            if reason := _unfit(source, f"{file.path}#{identifier}"):
                identifier, problem = _stand_in(number, seen), f"line {number}: {reason}"
            version = hashlib.sha256(stripped).hexdigest()[:32]
            yield replace(file.inside(f"{file.path}#{identifier}", version, start, len(line)), problem=problem)
        start += len(line) + 1


def _unfit(source: str, path: str) -> str:
    """Why a line cannot be held under its id; empty when it can."""
    try:
        document_id(source, path)
    except ValueError as error:
        return str(error)
    return ""


def _identifier(line: bytes, number: int, seen: set[str]) -> tuple[str, str]:
    try:
        record: Any = orjson.loads(line.removeprefix(BOM_UTF8))
    except orjson.JSONDecodeError as error:
        return _stand_in(number, seen), f"line {number} is not JSON: {error}"
    identifier = record.get("id") if isinstance(record, dict) else None
    if not isinstance(identifier, str | int) or isinstance(identifier, bool) or not 0 < len(str(identifier)) <= MAX_ID:
        return _stand_in(number, seen), f"line {number} has no id of 1 to {MAX_ID} characters"
    if str(identifier) in seen:
        return f"{identifier}@line-{number}", f"line {number}: the id {identifier} is used twice in this file"
    seen.add(str(identifier))
    return str(identifier), ""


def _stand_in(number: int, seen: set[str]) -> str:
    """By what a line without an id of its own is known. Another line may have taken it for its id."""
    name = f"line-{number}"
    name = f"{name}@{name}" if name in seen else name
    seen.add(name)
    return name
