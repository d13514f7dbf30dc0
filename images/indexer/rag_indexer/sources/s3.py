"""Objects below a prefix of an S3 bucket, by obstore. An object's version is its ETag.

Consoles mark a folder by an empty object whose key ends in a slash. The library drops that slash, so the marker looks like an empty object
that cannot be read. One that has something below it is left out; any other is an empty document, which is not read. With content such an
object is a document that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from obstore import get_async
from obstore import list as list_objects
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from rag_indexer.errors import DocumentError, SourceError
from rag_indexer.sources.port import Entry, GoneError, UnreadableError, checked_size
from rag_runtime.contracts.index import S3Source as Location

_PAGE = 1_000
# A listing that hangs must end as a failure: no page takes this long.
PAGE_SECONDS = 60.0


class S3Source:
    """A `Source` over a bucket. `secret` has accessKeyId and secretAccessKey, or is empty for anonymous access."""

    def __init__(self, name: str, location: Location, secret: dict[str, str], *, max_bytes: int) -> None:
        self.name = name
        self._location = location
        self._max_bytes = max_bytes
        self._store = open_store(location, secret)

    async def entries(self) -> AsyncIterator[Entry]:
        """Every object whose key starts with the prefix."""
        prefix = self._location.prefix
        # The library lists by whole path segments; the rest of the prefix is compared here.
        segments = prefix.rpartition("/")[0]
        before: Any = None
        try:
            pages = aiter(list_objects(self._store, prefix=segments or None, chunk_size=_PAGE))
            while (page := await asyncio.wait_for(anext(pages, None), PAGE_SECONDS)) is not None:
                for found in (found for found in page if found["path"].startswith(prefix)):
                    if before is not None and not _marks_folder_of(before, found):
                        yield self._entry(before)
                    before = found
            if before is not None:
                yield self._entry(before)
        except (BaseError, OSError, TimeoutError) as error:
            raise SourceError(
                f"source {self.name}: failed to list bucket {self._location.bucket}: {sentence(error)}{_advice(error)}"
            ) from error

    def _entry(self, found: Any) -> Entry:
        key = found["path"]
        version = found.get("e_tag") or f"{found['last_modified'].isoformat()}-{found['size']}"
        path = key[len(self._location.prefix) :].lstrip("/") or key.rpartition("/")[2]
        return Entry(path, version, f"s3://{self._location.bucket}/{key}", found["size"])

    async def read(self, entry: Entry) -> bytes:
        """The object's content."""
        if entry.start < 0 and entry.size == 0:
            return b""
        checked_size(entry.size if entry.start < 0 else 0, self._max_bytes)
        try:
            answer = await get_async(self._store, self._key(entry))
            checked_size(answer.meta["size"], self._max_bytes)
            return bytes(await answer.bytes_async())
        except (NotFoundError, FileNotFoundError) as error:
            if await self._ends_in_slash(self._key(entry)):
                raise UnreadableError("its key ends in a slash, and no such object can be read: give it another key") from error
            raise GoneError("it is gone since it was listed") from error
        except (BaseError, OSError) as error:
            raise DocumentError(f"failed to read: {sentence(error)}") from error

    async def _ends_in_slash(self, key: str) -> bool:
        """Asked for what is below `<key>/`, the library gives the object of that very key first, without its slash."""
        try:
            below = aiter(list_objects(self._store, prefix=key, chunk_size=1))
            page = await asyncio.wait_for(anext(below, None), PAGE_SECONDS)
        except (BaseError, OSError, TimeoutError) as error:
            raise DocumentError(f"failed to read: {sentence(error)}") from error
        return bool(page and page[0]["path"] == key)

    def _key(self, entry: Entry) -> str:
        return entry.uri.removeprefix(f"s3://{self._location.bucket}/")

    async def close(self) -> None:
        """The store keeps no connection that must be closed."""


def _marks_folder_of(found: Any, following: Any) -> bool:
    """A marker comes right before what is below it, for listings are ordered by key."""
    return bool(found["size"] == 0) and str(following["path"]).startswith(f"{found['path']}/")


def open_store(location: Location, secret: dict[str, str]) -> S3Store:
    """A bucket as a store. Requests are repeated for a short while; a listing that still fails, fails."""
    options: dict[str, Any] = {"region": location.region or "us-east-1"}
    if location.endpoint:
        options |= {"endpoint": location.endpoint, "virtual_hosted_style_request": False}
    if secret:
        options |= {"access_key_id": secret["accessKeyId"], "secret_access_key": secret["secretAccessKey"]}
    return S3Store(
        location.bucket,
        **options,
        skip_signature=not secret,
        client_options={
            "allow_http": (location.endpoint or "").startswith("http://"),
            "timeout": timedelta(seconds=60),
            "connect_timeout": timedelta(seconds=10),
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=30)},
    )


def sentence(error: BaseException) -> str:
    """The first line: what follows it is the library's own debugging output."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _advice(error: BaseException) -> str:
    """The library gives up a whole listing for one key that it cannot express, and names the key (developmentseed/obstore#429)."""
    return ": rename that object or choose a prefix without it" if "invalid path" in sentence(error) else ""
