"""Events of one watch on their way to the operator: at once, or each after a delay of its own, so that events of different objects swap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

Send = Callable[[bytes], Awaitable[None]]


class Relay:
    """Sends lines. Those of one object keep their order, as a server would never break it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._last: dict[str, asyncio.Task[None]] = {}  # of each object: its event that was taken in last

    async def pass_on(self, line: bytes, event: dict[str, Any], delay: float) -> None:
        """Send a line, now or later."""
        uid = event.get("object", {}).get("metadata", {}).get("uid", "")
        before = self._last.get(uid)
        if delay <= 0 and (before is None or before.done()):
            await self._send(line)
            return
        self._last[uid] = asyncio.create_task(self._later(line, delay, before))

    async def close(self) -> None:
        """What is still on its way is lost with its connection."""
        for task in self._last.values():
            task.cancel()
        await asyncio.gather(*self._last.values(), return_exceptions=True)

    async def _later(self, line: bytes, delay: float, before: asyncio.Task[None] | None) -> None:
        await asyncio.sleep(delay)
        if before is not None:
            await before
        with suppress(ConnectionError):
            await self._send(line)
