"""HTTP for the gateway's endpoints: bodies in, JSON and event streams out. Plain ASGI: a millisecond here is on every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from starlette.types import Receive, Scope, Send

from .errors import GatewayError, TooLargeError

T = TypeVar("T")


class ClientGoneError(Exception):
    """The caller hung up; there is nobody to answer."""


class Exchange:
    """One request and its answer. `headers` are what the answer carries besides its own."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {}
        self.started = False
        self._asked: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._send = send

    def header(self, name: str) -> str | None:
        """A header of the request."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self._asked if key == wanted), None)

    async def body(self, most: int) -> bytes:
        """The request's body. Raises `TooLargeError` beyond `most` bytes, `ClientGoneError` when it never ends."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise TooLargeError(f"the body is longer than {most} bytes")
            if not message.get("more_body"):
                return b"".join(parts)

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which ends when the caller hangs up: nobody reads what a generator would go on writing."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._disconnected())
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGoneError
            return await task
        finally:
            gone.cancel()
            if task.cancel():
                await asyncio.wait((task,))

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def json(self, status: int, body: Any) -> None:
        """A whole answer."""
        content = orjson.dumps(body)
        await self._start(status, {"content-type": "application/json", "content-length": str(len(content))})
        await self._send({"type": "http.response.body", "body": content})

    async def error(self, error: GatewayError) -> None:
        """A whole answer that says what went wrong."""
        if error.retry_after is not None:
            self.headers["retry-after"] = str(error.retry_after)
        await self.json(error.status, error.body())

    async def begin_stream(self) -> None:
        """The head of an event stream."""
        await self._start(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"})

    async def event(self, *data: bytes) -> None:
        """One or more events, sent at once."""
        body = b"".join(b"data: " + each + b"\n\n" for each in data)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end_stream(self) -> None:
        """The end of an event stream, whole or not."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, own: Mapping[str, str]) -> None:
        self.started = True
        fields = [(name.encode(), value.encode("latin-1", "replace")) for name, value in {**own, **self.headers}.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
