"""Calls that block, in threads that somebody waits for: cancelling a task does not end the thread it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Those that run for one pass."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Like `asyncio.to_thread`."""
        thread = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
        self._running.add(thread)
        thread.add_done_callback(self._running.discard)
        return await asyncio.shield(thread)

    async def ended(self) -> None:
        """Wait until none runs any more. Who cancels meanwhile is heard afterwards."""
        cancelled: asyncio.CancelledError | None = None
        while self._running:
            try:
                await asyncio.wait(set(self._running))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
