"""Watches by kopf: every event goes into the mirror and, if it says something new, its pipeline into the queue. Nothing else happens here.

kopf's change handlers, progress annotations, peering and event posting are not used: they write, and they are edge-triggered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
import kopf

from rag_operator import metrics, names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.queue import Queue
from rag_operator.kube.access import Access
from rag_operator.kube.resources import CHILDREN, PIPELINES, WATCHED, Resource
from rag_operator.settings import Settings
from rag_operator.shell.pace import Pace

log = logging.getLogger(__name__)

Receive = Callable[[Resource, str | None, Mapping[str, Any]], None]

# kopf would remove its finalizer from objects that no handler needs; ours has another name, so this one never exists.
_UNUSED_FINALIZER: Final = f"{names.GROUP}/kopf"
_CREDENTIALS_LAST: Final = timedelta(minutes=10)
_WATCH_SECONDS: Final = 300
_RESTART_AFTER: Final = 1.0
_BROKEN: Final = 5  # failures in a row


class Backoffs:
    """Waits between tries of one request, without an end: a watch must survive an API server that is away for long."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1, 2, 3)
        while True:
            yield 5.0


class Watches:
    """The watches of one replica."""

    def __init__(self, settings: Settings, access: Access, mirror: Mirror, queue: Queue[Key]) -> None:
        self._settings, self._access = settings, access
        self._receive = receiver(mirror, queue)
        self._pace = Pace(time.monotonic)
        self._failures = 0

    @property
    def broken(self) -> bool:
        """Whether watching fails again and again, so that nothing is seen."""
        return self._failures >= _BROKEN

    async def run(self) -> None:
        """Watch until the process is told to stop. A watch that ends with an error is begun again."""
        settings = self._settings
        while True:
            try:
                await kopf.operator(
                    registry=registry(self._access, self._pace, self._take),
                    settings=kopf_settings(settings),
                    # Without it kopf asks who the user is, and in a container nobody may be known by that number.
                    identity=kopf_identity(settings),
                    standalone=True,
                    clusterwide=not settings.namespaces,
                    namespaces=list(settings.namespaces),
                )
                return
            except Exception:
                self._failures += 1
                log.exception("watching failed; it begins again")
                await asyncio.sleep(_RESTART_AFTER)

    def _take(self, resource: Resource, kind: str | None, body: Mapping[str, Any]) -> None:
        self._failures = 0
        self._receive(resource, kind, body)


def kopf_identity(settings: Settings) -> Any:
    """This replica's name; kopf has a type of its own for it, which it does not publish."""
    return settings.identity


def receiver(mirror: Mirror, queue: Queue[Key]) -> Receive:
    """What is done with an event. It never raises: kopf would not repeat it."""

    def receive(resource: Resource, kind: str | None, body: Mapping[str, Any]) -> None:
        metrics.WATCH_EVENTS.labels(resource.kind).inc()
        try:
            urgent = resource is PIPELINES and kind != "DELETED" and mirror.asked(body)
            key = mirror.remove(resource, body) if kind == "DELETED" else mirror.put(resource, body)
        except (KeyError, ValueError):
            log.exception("an event could not be read", extra={"kind": resource.kind})
            return
        if key is not None:
            queue.add(key, urgent=urgent)

    return receive


def registry(access: Access, pace: Pace, receive: Receive) -> kopf.OperatorRegistry:
    """The handlers: a login with our own credentials, and one handler of raw events for each kind."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return await connection(access, pace)

    for resource in WATCHED:
        _subscribe(found, resource, receive)
    return found


def _subscribe(
    found: kopf.OperatorRegistry, resource: Resource, receive: Callable[[Resource, str | None, Mapping[str, Any]], None]
) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, id=resource.plural, registry=found)
    async def on_event(event: Mapping[str, Any], **_: Any) -> None:
        receive(resource, event["type"], event["object"])


async def connection(access: Access, pace: Pace) -> kopf.AiohttpSession:
    """Connections with our credentials, which kopf uses and closes. It asks for new ones before a token expires."""
    authorization = await access.authorization()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=access.ssl_context(), limit=0),
        headers={"Authorization": authorization} if authorization else {},
        middlewares=(pace,),
    )
    expiration = datetime.now(UTC) + _CREDENTIALS_LAST if authorization else None
    return kopf.AiohttpSession(aiohttp_session=session, server=access.server, expiration=expiration)


def kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    """kopf as a source of events and nothing else."""
    found = kopf.OperatorSettings()
    children = {resource.plural for resource in CHILDREN}
    found.watching.label_selectors[lambda resource: resource.plural in children] = names.LABEL_PIPELINE
    found.watching.server_timeout = _WATCH_SECONDS
    found.watching.client_timeout = _WATCH_SECONDS + 10
    found.watching.connect_timeout = 10
    found.watching.chunk_size = settings.page_size
    found.networking.request_timeout = settings.read_timeout
    found.networking.error_backoffs = Backoffs()
    found.persistence.finalizer = _UNUSED_FINALIZER
    found.posting.enabled = False
    found.peering.standalone = True
    found.scanning.disabled = bool(settings.namespaces)
    return found
