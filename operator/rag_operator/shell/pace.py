"""How often a watch begins again. kopf asks at once when a server ends one, without a pause or an end: this is the pause.

Requests that fail are not its business: kopf waits between those by itself (`Backoffs`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

_LASTED: Final = 10.0  # seconds; a server ends a watch after minutes, and sometimes once because it is too old
_WAITS: Final = (0.2, 0.5, 1.0, 2.0, 3.0, 5.0)


class Pace:
    """A middleware of an HTTP session: watches that end soon after they began are begun further and further apart."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._began: dict[str, float] = {}
        self._short: dict[str, int] = {}  # how many in a row did not last

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Send a request, a watch when its turn has come."""
        if request.url.query.get("watch") != "true":
            return await handler(request)
        await self._sleep(self._wait(request.url.path))
        response = await handler(request)
        if response.status < 400:
            self._began[request.url.path] = self._clock()
        return response

    def _wait(self, path: str) -> float:
        before = self._began.pop(path, None)
        if before is None or self._clock() - before > _LASTED:
            # The first one, one after a failure, or one after a watch that did its work.
            self._short.pop(path, None)
            return 0.0
        short = self._short[path] = self._short.get(path, 0) + 1
        return _WAITS[min(short, len(_WAITS)) - 1]
