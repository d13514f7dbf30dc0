"""The port of a source: a complete listing with versions, and reading by entry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

from rag_indexer.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as listed. `version` changes when the content does; `size` in bytes, -1 when unknown.

    `start`, `length` and `container`, the file's path, are set for a document inside a file (a line of JSON Lines). `problem` says why
    it cannot be indexed at all.
    """

    path: str
    version: str
    uri: str = ""
    size: int = -1
    start: int = -1
    length: int = -1
    problem: str = ""
    container: str = ""

    @property
    def file(self) -> str:
        """The path of the file that holds it."""
        return self.container or self.path

    def inside(self, path: str, version: str, start: int, length: int) -> Entry:
        """A document inside this file."""
        return replace(self, path=path, version=version, size=length, start=start, length=length, container=self.path)


class Source(Protocol):
    """A source of documents."""

    name: str

    def entries(self) -> AsyncIterator[Entry]:
        """Every file, in any order. Ends normally only when the listing is complete; else raises `SourceError`."""

    async def read(self, entry: Entry) -> bytes:
        """The whole file of an entry. Raises `DocumentError`: `GoneError` when it is not there any more, `UnreadableError` for ever."""

    async def close(self) -> None:
        """Let go of connections."""


class UnreadableError(DocumentError):
    """The document is listed and can never be read, so that nothing is known of what is in it and nothing ever was."""


class GoneError(DocumentError):
    """The document vanished after it was listed; the next listing will not have it."""


def checked_size(size: int, limit: int) -> None:
    """Raise `DocumentError` when a document is too large to be read."""
    if size > limit:
        raise DocumentError(f"{size} bytes, allowed: at most {limit}")


def part_of(content: bytes, entry: Entry) -> bytes:
    """The bytes of an entry within its file."""
    return content if entry.start < 0 else content[entry.start : entry.start + entry.length]
