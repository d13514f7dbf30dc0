"""The application of the public and of the preview port.

A request passes the door (how many run, the API key, its size), is parsed, gets one revision and keeps the table's epoch pinned until the
last byte of its answer is out. The public port chooses by weight and ignores `x-rag-revision`; the preview port obeys it, asks for no
key, and says which collection and vector dimension an answer came from.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from rag_runtime import logs
from rag_runtime.contracts import headers
from rag_runtime.contracts.routing import Route, RoutingTable

from . import requests
from .answering import Answering, Asked
from .deadline import asked_for
from .epochs import Epochs
from .errors import DeadlineExceededError, GatewayError, NotFoundError, OverloadedError
from .http import ClientGoneError, Exchange
from .keys import ApiKeys
from .metrics import ERROR, OK, Metrics
from .responses import send_answer, send_chat, send_passages
from .routing import named, pick
from .settings import GatewaySettings
from .upstreams import Pool

logger = logging.getLogger(__name__)

# What is told at a deadline is told by the step that missed it; this is for what nobody else bounds.
SLACK_SECONDS = 1.0

Endpoint = Callable[["Gateway", Exchange, "Call"], Awaitable[str]]


class UnreadError(DeadlineExceededError):
    """The caller did not read its answer in time."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request past the door: its body, the table it is answered by, and who asks."""

    body: dict[str, Any]
    asked: Asked
    table: RoutingTable


class Gateway:
    """What both ports share."""

    def __init__(self, settings: GatewaySettings, epochs: Epochs, pool: Pool, keys: ApiKeys, metrics: Metrics) -> None:
        self.settings = settings
        self.epochs = epochs
        self.pool = pool
        self.keys = keys
        self.metrics = metrics
        self.answering = Answering(metrics, settings.retrieval_timeout)
        self.running = 0

    def port(self, *, preview: bool) -> Port:
        """The ASGI application of one port."""
        return Port(self, preview)


class Port:
    """One port's application."""

    def __init__(self, gateway: Gateway, preview: bool) -> None:
        self._gateway = gateway
        self._preview = preview

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        request_id = logs.request_id(exchange.header(headers.REQUEST_ID))
        exchange.headers[headers.REQUEST_ID] = request_id
        with logs.bind(request_id=request_id):
            try:
                await self._handle(exchange)
            except ClientGoneError:
                return
            except GatewayError as error:
                await self._refuse(exchange, error)
            except Exception:
                logger.exception("a request failed unexpectedly")
                await self._refuse(exchange, GatewayError("an unexpected error; the request id helps to find it"))

    async def _refuse(self, exchange: Exchange, error: GatewayError) -> None:
        if error.status >= 500:
            cause = f"{type(error.__cause__).__name__}: {error.__cause__}"[:300] if error.__cause__ else None
            logger.warning("a request failed", extra={"code": error.error_code, "reason": error.message, "cause": cause})
        if exchange.started:
            raise error  # too late for a status: the server cuts the connection, which no client takes for an end
        if headers.REVISION not in exchange.headers:
            self._gateway.metrics.refused.labels(error.error_code).inc()
        await exchange.error(error)

    async def _handle(self, exchange: Exchange) -> None:
        if exchange.path == "/v1/models" and exchange.method == "GET":
            return await self._models(exchange)
        endpoint = _ENDPOINTS.get(exchange.path)
        if endpoint is None or exchange.method != "POST":
            allowed = "GET /v1/models, " + ", ".join(f"POST {path}" for path in _ENDPOINTS)
            raise NotFoundError(f"{exchange.method} {exchange.path[:100]}: no such endpoint, there are: {allowed}")
        gateway = self._gateway
        if gateway.running >= gateway.settings.max_requests:
            raise OverloadedError(f"{gateway.running} requests run already, try again", retry_after=1)
        gateway.running += 1
        gateway.metrics.in_flight.set(gateway.running)
        try:
            await self._answer(exchange, *endpoint)
        finally:
            gateway.running -= 1
            gateway.metrics.in_flight.set(gateway.running)

    def _owner(self, exchange: Exchange) -> str | None:
        return None if self._preview else self._gateway.keys.owner(exchange.header("authorization"))

    async def _models(self, exchange: Exchange) -> None:
        self._owner(exchange)
        with self._gateway.epochs.use() as table:
            model = {"id": table.pipeline, "object": "model", "created": 0, "owned_by": "rag-operator"}
            await exchange.json(200, {"object": "list", "data": [model]})

    async def _answer(self, exchange: Exchange, name: str, endpoint: Endpoint) -> None:
        gateway, since = self._gateway, time.monotonic()
        owner = self._owner(exchange)
        deadline = asked_for(exchange.header(headers.DEADLINE), gateway.settings.request_timeout)
        try:
            async with asyncio.timeout(deadline.within(gateway.settings.retrieval_timeout).remaining("reading the request")):
                body = requests.body_of(await exchange.body(gateway.settings.max_body_bytes))
        except TimeoutError as error:
            raise DeadlineExceededError("the request's body did not arrive in time") from error
        with gateway.epochs.use() as table:
            route = self._route(exchange, table, body, owner)
            exchange.headers[headers.REVISION] = route.revision
            exchange.headers[headers.EPOCH] = str(table.epoch)
            call = Call(body, Asked(route, gateway.pool.of(route), deadline, self._preview, since), table)
            with logs.bind(revision=route.revision):
                await self._counted(exchange, name, endpoint, call)

    def _route(self, exchange: Exchange, table: RoutingTable, body: dict[str, Any], owner: str | None) -> Route:
        if self._preview and (wanted := exchange.header(headers.REVISION)):
            return named(table, wanted)
        user = body.get("user")
        sticky = exchange.header(headers.SESSION) or (user if isinstance(user, str) else None) or owner
        return pick(table, sticky or secrets.token_hex(8))

    async def _counted(self, exchange: Exchange, name: str, endpoint: Endpoint, call: Call) -> None:
        """Run the endpoint and count how it ended. A client's own mistake, impatience or hanging up is not the revision's doing."""
        try:
            outcome = await self._bounded(exchange, endpoint, call)
        except (ClientGoneError, UnreadError):
            raise
        except Exception as error:
            if not isinstance(error, GatewayError) or error.status >= 500:
                self._finished(call, name, ERROR)
            raise
        self._finished(call, name, outcome)

    async def _bounded(self, exchange: Exchange, endpoint: Endpoint, call: Call) -> str:
        """Every step has its own deadline but one: a caller that does not read its answer. It must not keep its epoch in use for ever."""
        try:
            async with asyncio.timeout(call.asked.deadline.remaining("answering") + SLACK_SECONDS):
                return await endpoint(self._gateway, exchange, call)
        except TimeoutError as error:
            raise (UnreadError if exchange.started else DeadlineExceededError)("the time ran out while answering") from error

    def _finished(self, call: Call, name: str, outcome: str) -> None:
        if outcome != OK and call.asked.deadline.given_up:
            return  # as if the caller had hung up: the online gate must not take one short `x-rag-deadline-ms` for a bad revision
        self._gateway.metrics.finished(call.asked.route.revision, name, outcome, preview=self._preview)


async def _retrieve(gateway: Gateway, exchange: Exchange, call: Call) -> str:
    request = requests.retrieve_request(call.body)
    retrieved = await gateway.answering.retrieve(call.asked, request.query, request.k, request.group_by, request.filter)
    await send_passages(exchange, call.asked, call.table, retrieved)
    return OK


async def _query(gateway: Gateway, exchange: Exchange, call: Call) -> str:
    request = requests.query_request(call.body)

    async def work() -> str:
        answer = await gateway.answering.chat(call.asked, request)
        return await send_answer(exchange, call.asked, call.table, answer)

    return await exchange.while_connected(work())


async def _chat(gateway: Gateway, exchange: Exchange, call: Call) -> str:
    request = requests.chat_request(call.body)
    if request.model not in (None, call.table.pipeline):
        message = f"model: {request.model!r:.80} is not served here, allowed: {call.table.pipeline}"
        raise NotFoundError(message, param="model", code="model_not_found")

    async def work() -> str:
        answer = await gateway.answering.chat(call.asked, request)
        return await send_chat(exchange, call.asked, call.table, request, answer)

    return await exchange.while_connected(work())


_ENDPOINTS: dict[str, tuple[str, Endpoint]] = {
    "/v1/chat/completions": ("chat", _chat),
    "/v1/query": ("query", _query),
    "/v1/retrieve": ("retrieve", _retrieve),
}
