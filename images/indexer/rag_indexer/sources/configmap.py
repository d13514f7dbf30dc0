"""The keys of a ConfigMap, each a document. A key's version is the hash of its value: the object's own also moves with its labels."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rag_indexer.errors import SourceError
from rag_indexer.sources.port import Entry, GoneError, checked_size

# Reads the object by name; None when there is none.
Get = Callable[[str], Awaitable[dict[str, Any] | None]]


class ConfigMapSource:
    """A `Source` over one ConfigMap. What was listed is kept: it is at most 1 MiB, and reading sees one state."""

    def __init__(self, name: str, config_map: str, get: Get, *, max_bytes: int) -> None:
        self.name = name
        self._config_map = config_map
        self._get = get
        self._max_bytes = max_bytes
        self._values: dict[str, bytes] = {}

    async def entries(self) -> AsyncIterator[Entry]:
        """Every key. A ConfigMap that does not exist fails the listing; it is not an empty one."""
        try:
            found = await self._get(self._config_map)
        except Exception as error:
            raise SourceError(f"source {self.name}: failed to read ConfigMap {self._config_map}: {error}") from error
        if found is None:
            raise SourceError(f"source {self.name}: ConfigMap {self._config_map} does not exist")
        self._values = _values(found)
        for key, value in sorted(self._values.items()):
            yield Entry(key, hashlib.sha256(value).hexdigest()[:32], f"configmap://{self._config_map}/{key}", len(value))

    async def read(self, entry: Entry) -> bytes:
        """The key's value as listed."""
        if entry.file not in self._values:
            raise GoneError("it is gone since it was listed")
        value = self._values[entry.file]
        checked_size(len(value), self._max_bytes)
        return value

    async def close(self) -> None:
        """Nothing is held."""


def _values(config_map: dict[str, Any]) -> dict[str, bytes]:
    text = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    return {**text, **{key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}}
