"""The process's HTTP port: `/healthz`, `/readyz`, `/metrics`. Health is about work that does not move, not about the loop that turns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rag_operator import metrics

Check = Callable[[], str | None]


class Probes:
    """`healthy` and `ready` say what is wrong, or `None`."""

    def __init__(self, host: str, port: int, *, healthy: Check, ready: Check, refresh: Callable[[], None]) -> None:
        self._host, self._port = host, port
        self._healthy, self._ready, self._refresh = healthy, ready, refresh
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Probes:
        app = web.Application()
        app.router.add_get("/healthz", self._answer(self._healthy))
        app.router.add_get("/readyz", self._answer(self._ready))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._runner is None:
            raise RuntimeError("the probes are not served: use them as a context manager")
        return int(self._runner.addresses[0][1])

    def _answer(self, check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(_: web.Request) -> web.Response:
            wrong = check()
            return web.Response(text=(wrong or "ok") + "\n", status=503 if wrong else 200)

        return handler

    async def _metrics(self, _: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
