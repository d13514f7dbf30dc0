"""Listing a source into the spool, and reading documents: fetched once and parsed once for all indexes that want them."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from rag_indexer.errors import DocumentError, SourceError
from rag_indexer.indexing.spool import Spool, is_mine
from rag_indexer.parsing.documents import Parsed, parse
from rag_indexer.sources import jsonlines
from rag_indexer.sources.port import Entry, GoneError, Source, UnreadableError, part_of
from rag_runtime.contracts.collections import BUCKETS, document_id

_PAGE = 2_000
READERS = 8


@dataclass(frozen=True)
class Listed:
    """A complete listing: its id, when it began (epoch seconds), how many documents the source has in all."""

    id: str
    started: float
    documents: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document as read. Either `parsed` or `reason` is set; `gone`: it vanished, and is left to the next listing."""

    id: str
    entry: Entry
    content_hash: str = ""
    parsed: Parsed | None = None
    reason: str = ""
    gone: bool = False


Select = Callable[[str], bool]


async def take_listing(
    source: Source,
    spool: Spool,
    select: Select,
    *,
    now: float,
    low: int = 0,
    high: int = BUCKETS,
    on_file: Callable[[], None] = lambda: None,
) -> Listed:
    """List `source` into the spool: the selected paths, of these the share `low` to `high` - 1. Raises `SourceError`."""
    await asyncio.to_thread(spool.clear_listing, source.name)
    total, page = 0, []
    async for file in source.entries():
        on_file()
        for entry in await _documents(source, spool, file) if select(file.path) else ():
            document = _identified(source.name, entry.path)
            total += 1
            if is_mine(document, low, high):
                page.append((document, entry))
        if len(page) >= _PAGE:
            await asyncio.to_thread(spool.add_listed, source.name, page)
            page = []
    await asyncio.to_thread(spool.add_listed, source.name, page)
    return Listed(f"{source.name}-{int(now)}-{secrets.token_hex(4)}", now, total)


def _identified(source: str, path: str) -> str:
    try:
        return document_id(source, path)
    except ValueError as error:
        # It cannot be held under its id, so it cannot even be reported by it: the listing says so as a whole.
        raise SourceError(f"source {source}: {error}") from error


async def _documents(source: Source, spool: Spool, file: Entry) -> list[Entry]:
    if not jsonlines.is_container(file.path):
        return [file]
    if file.size == 0:  # or a folder of that name, which must not be remembered in the file's place
        return []
    known = await asyncio.to_thread(spool.container, source.name, file)
    if known is not None:
        # The same file may be listed at another place by now, such as a bucket that was moved.
        return [replace(entry, uri=file.uri) for entry in known]
    try:
        content = await source.read(file)
    except UnreadableError as error:
        return [replace(file, problem=str(error))]
    except DocumentError as error:
        # What is in it is unknown, and what is unknown must not look as if it were deleted.
        raise SourceError(f"source {source.name}: {file.path}: {error}") from error
    found = await asyncio.to_thread(lambda: list(jsonlines.documents(source.name, file, content)))
    await asyncio.to_thread(spool.remember_container, source.name, file, found)
    return found


class Reader:
    """Reads and parses documents of one source, several at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._slots = asyncio.Semaphore(READERS)
        # Lines come file by file: the file at hand is fetched once for all of them.
        self._turn = asyncio.Lock()
        self._file = ""
        self._content = b""

    async def read(self, document: str, entry: Entry) -> Document:
        """The document; what is wrong with it is its `reason`, never an exception."""
        if entry.problem:
            return Document(document, entry, reason=entry.problem)
        try:
            async with self._slots:
                content = part_of(await self._fetched(entry), entry)
            _check_line(entry, content)
            parsed = await asyncio.to_thread(parse, entry.path, content, is_line=entry.start >= 0)
        except GoneError:
            return Document(document, entry, gone=True)
        except DocumentError as error:
            return Document(document, entry, reason=str(error))
        return Document(document, entry, hashlib.sha256(content).hexdigest(), parsed)

    async def _fetched(self, entry: Entry) -> bytes:
        if entry.start < 0:
            return await self._source.read(entry)
        async with self._turn:
            if self._file != entry.file:
                self._content = await self._source.read(entry)
                self._file = entry.file
            return self._content


def _check_line(entry: Entry, content: bytes) -> None:
    """The file may have changed since its lines were listed; then the place means another line."""
    if entry.start >= 0 and hashlib.sha256(content.strip()).hexdigest()[:32] != entry.version:
        raise GoneError("its file changed since it was listed")
