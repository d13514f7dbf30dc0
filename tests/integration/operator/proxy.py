"""A proxy before the API server that numbers every write of the operator and can do to it what networks and servers do.

It speaks plain HTTP on loopback and identifies itself to the server with the operator's certificate. Reads pass at once; a fault is
decided by a function that sees each write, or each watch event, as it passes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from integration.operator.relay import Relay
from rag_operator.kube.access import Access

_HOP = frozenset({"connection", "transfer-encoding", "content-encoding", "content-length", "host", "keep-alive"})
_LEASES = "/leases"
OLD_VIEW = 3.0  # seconds
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
    BLIND = auto()  # for a while lists and watches show the state before it
    STALE = auto()  # the same, and the operator is killed: the next one begins with that view


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
        self.meanwhile: Callable[[Write], Awaitable[None]] | None = None  # what happens between a write's leaving and its arrival
        self.on_crash: Callable[[], None] = lambda: None
        self.watch_ends: Callable[[], bool] = lambda: False
        self.refuse: Callable[[web.Request], int | None] = lambda _: None  # a status for any request, Leases too; 0: the connection breaks
        self.delay: Callable[[dict[str, Any]], float] = lambda _: 0.0  # seconds that an event of a watch is late
        self.open = asyncio.Event()  # cleared: requests are accepted and never answered
        self.open.set()
        self.stalled = False  # watches stay open and silent
        self.cut = False  # watches are answered and end at once
        self.frozen: int | None = None  # lists and watches show nothing that is newer than this resourceVersion
        self._thawed = asyncio.Event()
        self._streams: dict[int, web.Request] = {}
        self.requests: list[tuple[float, web.Request]] = []  # everything that came, with its time by the monotonic clock
        self.looks: list[tuple[float, web.Request]] = []  # reads that were answered, watches aside, with the time at which they came
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

    def break_watches(self) -> None:
        """Every connection of a watch breaks."""
        for request in list(self._streams.values()):
            _abort(request)

    def come_back(self) -> None:
        """Every request is answered again, and watches stay."""
        self.refuse, self.cut = (lambda _: None), False

    async def freeze(self) -> None:
        """Show lists and watches the state of now, whatever comes; reads of one object and writes are exact, as a server's are."""
        async with self._session.get(self._server + "/api/v1/namespaces?limit=1") as answer:
            self.frozen = int((await answer.json())["metadata"]["resourceVersion"])
        self._thawed.clear()

    def thaw(self) -> None:
        """Catch up."""
        self.frozen = None
        self._thawed.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        came = time.monotonic()
        self.requests.append((came, request))
        await self.open.wait()
        code = self.refuse(request)
        if code is not None:
            await request.read()
            return answered(code) if code else self._break(request, crash=False)
        if request.method in ("GET", "HEAD"):
            self.reads += 1
            if request.query.get("watch"):
                return await self._stream(request)
            answer = await self._forward(request, None)
            self.looks.append((came, request))
            return answer
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
        if self.meanwhile is not None:
            await self.meanwhile(write)
        if write.done in (Do.BLIND, Do.STALE):
            await self.freeze()
            asyncio.get_running_loop().call_later(OLD_VIEW, self.thaw)
        answer = await self._forward(request, raw)
        write.status = answer.status
        if write.done in (Do.CRASH_AFTER, Do.LOSE_REPLY, Do.STALE):
            return self._break(request, crash=write.done is not Do.LOSE_REPLY)
        return answer

    def _break(self, request: web.Request, *, crash: bool) -> web.StreamResponse:
        if crash:
            self.on_crash()
        _abort(request)
        return web.Response(status=500)  # to nobody

    async def _forward(self, request: web.Request, raw: bytes | None) -> web.Response:
        url = self._server + request.path_qs
        if self.frozen is not None and request.method == "GET" and _is_list(request) and "continue" not in request.query:
            url += f"{'&' if request.query_string else '?'}resourceVersion={self.frozen}&resourceVersionMatch=Exact"
        async with self._session.request(request.method, url, data=raw, headers=_headers(request)) as answer:
            body = await answer.read()
            await self.open.wait()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            return web.Response(status=answer.status, body=body, headers=kept)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        async with self._session.get(self._server + request.path_qs, headers=_headers(request)) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.headers.get("Content-Type", "")})
            # The operator may be killed, or let go of a watch, at any moment.
            with suppress(ConnectionError):
                await response.prepare(request)
                if not self.cut:
                    await self._pass_on(request, response, answer)
            return response

    async def _pass_on(self, request: web.Request, response: web.StreamResponse, answer: aiohttp.ClientResponse) -> None:
        relay = Relay(response.write)
        self._streams[id(request)] = request
        try:
            await self._relay(answer, relay)
        finally:
            self._streams.pop(id(request))
            await relay.close()

    async def _relay(self, answer: aiohttp.ClientResponse, relay: Relay) -> None:
        """Pass a watch on until it ends, or is made to."""
        async for line in _lines(answer):
            await self.open.wait()
            if self.stalled:
                continue
            event = json.loads(line)
            if self.frozen is not None and _version(event) > self.frozen:
                await self._thawed.wait()
            if self.watch_ends():
                await relay.pass_on(_GONE, {}, 0.0)
                return
            if event.get("type") == "BOOKMARK":
                if not self.delay(event):  # it would overtake what is late
                    await relay.pass_on(line, event, 0.0)
            elif self.hide(event):
                self.hidden += 1
            else:
                await relay.pass_on(line, event, self.delay(event))


async def _lines(answer: aiohttp.ClientResponse) -> Any:
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line + b"\n"


def _headers(request: web.Request) -> dict[str, str]:
    return {key: value for key, value in request.headers.items() if key.lower() not in _HOP}


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _version(event: dict[str, Any]) -> int:
    return int(event.get("object", {}).get("metadata", {}).get("resourceVersion") or 0)


def _is_list(request: web.Request) -> bool:
    """Whether it asks for all objects of a kind: /api/v1/{plural}, or the same in a namespace."""
    parts = request.path.strip("/").split("/")
    return len(parts[2 if parts[0] == "api" else 3 :]) in (1, 3)


def _status(write: Write) -> web.Response:
    write.status = _ANSWERS[write.done][0]
    return answered(write.status)


def answered(code: int) -> web.Response:
    """A refusal as the API server words it."""
    reason = dict(_ANSWERS.values())[code]
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "a fault of the test"}
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response(body, status=code, headers=headers)
