"""Where the routing table comes from: a ConfigMap followed through the API server, or a file when the gateway runs alone.

Both feed `adopt`: a table that cannot be used is counted and said, and the one before stays. A source that cannot be reached changes
nothing: gateways go on answering by what they know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from rag_runtime.contracts.routing import RoutingTable

from .epochs import Epochs, TableRejectedError

logger = logging.getLogger(__name__)

FILE_CHECK_SECONDS = 0.05


class TableSource(Protocol):
    """Yields the table's text whenever it may have changed, for ever."""

    def texts(self) -> AsyncIterator[str | bytes]:
        """The texts, oldest first; never ends and never raises but for cancellation."""


async def follow(source: TableSource, epochs: Epochs, on_rejected: Callable[[], None]) -> None:
    """Answer by what `source` says until cancelled."""
    async for text in source.texts():
        adopt(text, epochs, on_rejected)


def adopt(text: str | bytes, epochs: Epochs, on_rejected: Callable[[], None]) -> None:
    """Answer by the table in `text` if it may be answered by."""
    try:
        table = RoutingTable.from_json(text)
        if epochs.adopt(table):
            weights = {route.revision: route.weight for route in table.routes}
            logger.info("answering by a new routing table", extra={"epoch": table.epoch, "weights": weights})
    except (ValidationError, TableRejectedError) as error:
        on_rejected()
        logger.error("a routing table was rejected, the one before stays", extra={"reason": str(error)[:500], "epoch": epochs.served})


class FileSource:
    """A file, looked at twenty times a second: a change is a rename or a write, seen in its stat."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def texts(self) -> AsyncIterator[str | bytes]:
        """The file's content whenever its stat changed. A file that is missing is waited for."""
        seen: tuple[int, int, int] | None = None
        while True:
            try:
                stat = self._path.stat()
                now = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if now != seen:
                    yield self._path.read_bytes()
                    seen = now
            except OSError as error:
                if seen is None:
                    logger.info("waiting for the routing table", extra={"reason": error.strerror})
            await asyncio.sleep(FILE_CHECK_SECONDS)
