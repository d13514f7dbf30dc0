"""Files below a directory: a mounted volume. A file's version is its modification time and size.

A directory that is missing or unreadable fails the listing. A mount that is gone often leaves an empty directory, which lists
well: the guard on deletions is there for that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from rag_indexer.errors import DocumentError, SourceError
from rag_indexer.sources.port import Entry, GoneError, checked_size


class DirectorySource:
    """A `Source` over a local directory."""

    def __init__(self, name: str, root: Path, *, max_bytes: int) -> None:
        self.name = name
        self._root = root
        self._max_bytes = max_bytes

    async def entries(self) -> AsyncIterator[Entry]:
        """Every file. Links that lead out of the directory are left out: a volume's writer must not read the pod's other files."""
        for entry in await asyncio.to_thread(self._listed):
            yield entry

    def _listed(self) -> list[Entry]:
        try:
            root = self._root.resolve(strict=True)
            return list(_walk(root, root))
        except OSError as error:
            raise SourceError(f"source {self.name}: failed to list {error.filename or self._root}: {error.strerror or error}") from error

    async def read(self, entry: Entry) -> bytes:
        """The file's content."""
        return await asyncio.to_thread(self._read, entry)

    def _read(self, entry: Entry) -> bytes:
        path = self._root / entry.file
        try:
            checked_size(path.stat().st_size, self._max_bytes)
            return path.read_bytes()
        except FileNotFoundError as error:
            raise GoneError("it is gone since it was listed") from error
        except OSError as error:
            raise DocumentError(f"failed to read: {error.strerror or error}") from error

    async def close(self) -> None:
        """Nothing is held."""


def _walk(root: Path, directory: Path) -> Iterator[Entry]:
    with os.scandir(directory) as found:
        for item in found:
            # Kubernetes keeps its own bookkeeping in mounted ConfigMaps and projected volumes under such names.
            if item.name.startswith(".."):
                continue
            if item.is_dir(follow_symlinks=False):
                yield from _walk(root, Path(item.path))
            elif (entry := _entry(root, Path(item.path))) is not None:
                yield entry


def _entry(root: Path, path: Path) -> Entry | None:
    try:
        real = path.resolve(strict=True)
        facts = real.stat()
    except FileNotFoundError:  # a dangling link, or a file that vanished meanwhile
        return None
    if not real.is_file() or not real.is_relative_to(root):
        return None
    name = path.relative_to(root).as_posix()
    if "\udc80" <= max(name) <= "\udcff":
        raise SourceError(f"the name {os.fsencode(name)!r} is not UTF-8")
    return Entry(name, f"{facts.st_mtime_ns}-{facts.st_size}", path.as_uri(), facts.st_size)
