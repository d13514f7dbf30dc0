"""The HTTP servers of the stand-ins: on loopback, on a free port, in the test's own event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from abc import ABC, abstractmethod
from typing import Any, Self

from aiohttp import web


class Double(ABC):
    """An HTTP server. `hang` waits until the server is closed: for a test, for ever."""

    def __init__(self) -> None:
        # Held without listening, so that a server that is stopped refuses, and nobody else gets its port until it is back.
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(("127.0.0.1", 0))
            self.port: int = held.getsockname()[1]
            weakref.finalize(self, os.close, held.detach())
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """What it serves."""

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_port=True).start()

    async def stop(self) -> None:
        """Close the port and every connection; safe to call twice."""
        self._closing.set()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def hang(self) -> web.Response:
        """Never answer."""
        await self._closing.wait()
        return web.Response(status=500)


def refusal(status: int, message: str, **headers: str) -> web.Response:
    """An error in OpenAI's shape."""
    body: dict[str, Any] = {"error": {"message": message, "type": "error", "code": None, "param": None}}
    return web.json_response(body, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})
