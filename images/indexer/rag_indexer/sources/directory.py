"""Files below a directory: a mounted volume. A file's version is its modification time and size.

A directory that is missing or unreadable fails the listing. A mount that is gone often leaves an empty directory, which lists
well: the guard on deletions is there for that.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from rag_indexer.errors import DocumentError, SourceError
from rag_indexer.sources.port import Entry, GoneError, checked_size

# What is left out: a link to nothing, in a circle or through a file, and a file that vanished meanwhile.
_LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# A file system's own, which is root's alone.
_NOT_OURS = "lost+found"


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
            # A name that is not UTF-8 must not keep what is wrong with it from being reported.
            place = os.fsencode(error.filename or self._root).decode(errors="backslashreplace")
            raise SourceError(f"source {self.name}: failed to list {place}: {error.strerror or error}") from error

    async def read(self, entry: Entry) -> bytes:
        """The file's content."""
        return await asyncio.to_thread(self._read, entry)

    def _read(self, entry: Entry) -> bytes:
        try:
            # It may be a link by now, which was none when it was listed.
            found = _file(self._root.resolve(), self._root / entry.file)
            if found is None:
                raise GoneError("it is gone since it was listed")
            checked_size(found[1].st_size, self._max_bytes)
            return found[0].read_bytes()
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
            if item.name.startswith("..") or (directory == root and item.name == _NOT_OURS):
                continue
            if item.is_dir(follow_symlinks=False):
                yield from _walk(root, Path(item.path))
            elif (entry := _entry(root, Path(item.path))) is not None:
                yield entry


def _entry(root: Path, path: Path) -> Entry | None:
    if (found := _file(root, path)) is None:
        return None
    name, facts = path.relative_to(root).as_posix(), found[1]
    if any("\udc80" <= character <= "\udcff" for character in name):
        raise SourceError(f"the name {os.fsencode(name)!r} is not UTF-8")
    return Entry(name, f"{facts.st_mtime_ns}-{facts.st_size}", path.as_uri(), facts.st_size)


def _file(root: Path, path: Path) -> tuple[Path, os.stat_result] | None:
    """The file that a path leads to, if it is one and below `root`. What is outside is not even looked at."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        return None
    try:
        facts = real.stat()
    except OSError as error:
        if error.errno in _LEADS_NOWHERE:
            return None
        raise
    return (real, facts) if stat.S_ISREG(facts.st_mode) else None
