"""A proxy before the API server that numbers every write of the operator and can do to it what networks and servers do.

It speaks plain HTTP on loopback and identifies itself to the server with the operator's certificate. Reads pass at once; a fault is
decided by a function that sees each write, or each watch event, as it passes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from rag_operator.kube.access import Access

_HOP = frozenset({"connection", "transfer-encoding", "content-encoding", "content-length", "host", "keep-alive"})
_LEASES = "/leases"
_GONE = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode() + b"\n"


class Do(Enum):
    """What happens to a write."""

    PASS = auto()
    CRASH_BEFORE = auto()  # it never arrives, and the operator is killed
    CRASH_AFTER = auto()  # it is carried out, the answer is swallowed, and the operator is killed
    LOSE_REPLY = auto()  # it is carried out, and the connection breaks
    CONFLICT = auto()
    REFUSE = auto()  # 422
    THROTTLE = auto()  # 429 with Retry-After
    FAIL = auto()  # 500
    UNAVAILABLE = auto()  # 503
    BREAK = auto()  # never arrives, the connection breaks


_ANSWERS = {
    Do.CONFLICT: (409, "Conflict"),
    Do.REFUSE: (422, "Invalid"),
    Do.THROTTLE: (429, "TooManyRequests"),
    Do.FAIL: (500, "InternalError"),
}
_ANSWERS |= {Do.UNAVAILABLE: (503, "ServiceUnavailable")}


@dataclass
class Write:
    """One write as the server saw it, or would have. `status` is 0 while it has none."""

    number: int
    method: str
    path: str
    agent: str
    body: dict[str, Any] = field(repr=False)
    status: int = 0
    done: Do = Do.PASS

    @property
    def is_lease(self) -> bool:
        """Whether it only keeps the lead."""
        return _LEASES in self.path

    @property
    def is_event(self) -> bool:
        """Whether it is news for people, not state."""
        return "/events" in self.path


class Proxy:
    """The proxy. `on_crash` kills the operator. Use it as an asynchronous context manager."""

    def __init__(self, access: Access) -> None:
        self._server, self._ssl = access.server, access.ssl_context()
        self.writes: list[Write] = []
        self.decide: Callable[[Write], Do] = lambda _: Do.PASS
        self.hide: Callable[[dict[str, Any]], bool] = lambda _: False
        self.observe: Callable[[Write], None] = lambda _: None  # sees every write of state that the server will see
        self.on_crash: Callable[[], None] = lambda: None
        self.watch_ends: Callable[[], bool] = lambda: False
        self.open = asyncio.Event()  # cleared: requests are accepted and never answered
        self.open.set()
        self.stalled = False  # watches stay open and silent
        self.reads = 0
        self.hidden = 0
        self.last = 0.0  # when the last write of state came, by the monotonic clock

    async def __aenter__(self) -> Proxy:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._ssl, limit=0), timeout=aiohttp.ClientTimeout(total=None), auto_decompress=True
        )
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open.set()
        await self._runner.cleanup()
        await self._session.close()

    def kubeconfig(self, directory: Path) -> Path:
        """A kubeconfig that leads through the proxy."""
        address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": address}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        }
        path = directory / "proxy.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def sent(self) -> list[Write]:
        """Writes of state: no Leases, no Events."""
        return [write for write in self.writes if not write.is_lease and not write.is_event]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await self.open.wait()
        if request.method in ("GET", "HEAD"):
            self.reads += 1
            return await self._stream(request) if request.query.get("watch") else await self._forward(request, None)
        raw = await request.read()
        write = Write(len(self.sent()), request.method, request.path, request.headers.get("User-Agent", ""), json.loads(raw or b"{}"))
        write.done = Do.PASS if write.is_lease else self.decide(write)
        self.writes.append(write)
        if not write.is_lease and not write.is_event:
            self.last = time.monotonic()
        return await self._write(request, raw, write)

    async def _write(self, request: web.Request, raw: bytes, write: Write) -> web.StreamResponse:
        if write.done in (Do.CRASH_BEFORE, Do.BREAK):
            return self._break(request, crash=write.done is Do.CRASH_BEFORE)
        if write.done in _ANSWERS:
            return _status(write)
        if not write.is_lease and not write.is_event:
            self.observe(write)
        answer = await self._forward(request, raw)
        write.status = answer.status
        if write.done in (Do.CRASH_AFTER, Do.LOSE_REPLY):
            return self._break(request, crash=write.done is Do.CRASH_AFTER)
        return answer

    def _break(self, request: web.Request, *, crash: bool) -> web.StreamResponse:
        if crash:
            self.on_crash()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # to nobody

    async def _forward(self, request: web.Request, raw: bytes | None) -> web.Response:
        async with self._session.request(request.method, self._server + request.path_qs, data=raw, headers=_headers(request)) as answer:
            body = await answer.read()
            await self.open.wait()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            return web.Response(status=answer.status, body=body, headers=kept)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        async with self._session.get(self._server + request.path_qs, headers=_headers(request)) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.headers.get("Content-Type", "")})
            await response.prepare(request)
            async for line in _lines(answer):
                await self.open.wait()
                if self.stalled:
                    continue
                event = json.loads(line)
                if self.watch_ends():
                    await response.write(_GONE)
                    return response
                if event.get("type") != "BOOKMARK" and self.hide(event):
                    self.hidden += 1
                    continue
                await response.write(line)
            return response


async def _lines(answer: aiohttp.ClientResponse) -> Any:
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line + b"\n"


def _headers(request: web.Request) -> dict[str, str]:
    return {key: value for key, value in request.headers.items() if key.lower() not in _HOP}


def _status(write: Write) -> web.Response:
    code, reason = _ANSWERS[write.done]
    write.status = code
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "a fault of the test"}
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response(body, status=code, headers=headers)
