"""Liveness, readiness and metrics: `/healthz`, `/readyz` and `/metrics` on the metrics port of every image.

Parts register checks by name; a check returns None or a sentence that says what is missing, and must not block. A pod that drains
is alive and not ready.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Check = Callable[[], str | None]

STARTING = "still starting"
DRAINING = "shutting down"


class Health:
    """What the kubelet and the Service are told about this pod."""

    def __init__(self) -> None:
        self.started = False
        self.draining = False
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}

    def alive_when(self, name: str, check: Check) -> None:
        """Register a check whose failure means: restart this pod."""
        self._alive[name] = check

    def ready_when(self, name: str, check: Check) -> None:
        """Register a check whose failure means: send this pod no requests."""
        self._ready[name] = check

    def not_alive(self) -> dict[str, str]:
        """Why the pod should be restarted, by check; empty when it is fine."""
        return _failing(self._alive)

    def not_ready(self) -> dict[str, str]:
        """Why the pod should get no requests, by check; empty when it may."""
        if self.draining:
            return {"server": DRAINING}
        if not self.started:
            return {"server": STARTING}
        return _failing(self._ready)


def _failing(checks: dict[str, Check]) -> dict[str, str]:
    answers = {name: check() for name, check in checks.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def app(health: Health, registry: CollectorRegistry = REGISTRY) -> Starlette:
    """The application of the metrics port."""

    async def healthz(_: Request) -> Response:
        return _verdict(health.not_alive())

    async def readyz(_: Request) -> Response:
        return _verdict(health.not_ready())

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


def _verdict(reasons: dict[str, str]) -> Response:
    body = orjson.dumps({"ok": not reasons, "reasons": reasons})
    return Response(body, status_code=503 if reasons else 200, media_type="application/json")
