"""The application. Plain ASGI: at a few hundred microseconds a request, a framework's routing would be seen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from rag_embedder.api import answers, requests
from rag_embedder.api.answers import Answer
from rag_embedder.errors import RequestError
from rag_embedder.metrics import Metrics
from rag_embedder.service import Service
from rag_runtime import logs
from rag_runtime.contracts import embedding, headers

logger = logging.getLogger(__name__)

# 2,048 texts of 512 tokens are about 6 MiB; four times that leaves room for other scripts and escapes.
MAX_BODY_BYTES = 24 * 1024 * 1024

Headers = dict[bytes, bytes]


class HungUpError(Exception):
    """The client is gone; nobody reads an answer."""


class EmbedderApp:
    """Routes, request ids, errors as OpenAI's object, and hang-ups."""

    def __init__(self, service: Callable[[], Service], metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        sent: Headers = dict(scope["headers"])
        request_id = logs.request_id(sent.get(headers.REQUEST_ID.encode(), b"").decode("latin-1"))
        with logs.bind(request_id=request_id):
            try:
                answer = await self._answer(scope, sent, receive)
            except HungUpError:
                return
            await _send(answer, request_id, send)

    async def _answer(self, scope: Scope, sent: Headers, receive: Receive) -> Answer:
        try:
            return await self._route(scope["method"], scope["path"], sent, receive)
        except RequestError as error:
            return answers.failure(error)
        except (HungUpError, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("a request failed")
            return answers.failure(RequestError(500, "internal error", code="internal_error"))

    async def _route(self, method: str, path: str, sent: Headers, receive: Receive) -> Answer:
        if path == embedding.PATH_EMBEDDINGS:
            _allow(method, "POST", path)
            return await self._counted(sent, receive)
        gets: dict[str, Callable[[], Answer]] = {
            embedding.PATH_MODELS: lambda: Answer(200, answers.model_list([self._service().card.to_entry()])),
            embedding.PATH_TOKENIZER: self._tokenizer,
        }
        if path not in gets:
            known = ", ".join([embedding.PATH_EMBEDDINGS, *gets])
            raise RequestError(404, f"path {path[:100]!r} does not exist, allowed: {known}")
        _allow(method, "GET", path)
        return gets[path]()

    async def _counted(self, sent: Headers, receive: Receive) -> Answer:
        lane = requests.lane_of(sent)
        try:
            answer = await self._embeddings(lane, sent, receive)
        except RequestError as error:
            self._metrics.answered(lane, error.status)
            raise
        except HungUpError:
            self._metrics.answered(lane, 499)  # nginx's number for it; no standard one exists
            raise
        except Exception:
            self._metrics.answered(lane, 500)
            raise
        self._metrics.answered(lane, answer.status)
        return answer

    async def _embeddings(self, lane: str, sent: Headers, receive: Receive) -> Answer:
        deadline = requests.deadline_of(sent)
        body = await _body(sent, receive)
        service = self._service()
        asked = requests.parse(body, service.card.id, service.native_dimensions, service.dimensions)
        vectors, tokens, truncated = await _unless_hung_up(service.embed(asked.texts, lane, asked.dimensions, deadline), receive)
        flags = {headers.FINGERPRINT: service.card.fingerprint or ""}
        if truncated:
            flags[headers.TRUNCATED] = str(truncated)
        return Answer(200, answers.embeddings(vectors, asked.encoding, service.card.id, tokens), headers=flags)

    def _tokenizer(self) -> Answer:
        service = self._service()
        return Answer(200, service.tokenizer_json, headers={headers.FINGERPRINT: service.card.fingerprint or ""})


def _allow(method: str, allowed: str, path: str) -> None:
    if method != allowed:
        error = RequestError(405, f"method {method[:20]} on {path}, allowed: {allowed}")
        error.headers = {"allow": allowed}
        raise error


async def _body(sent: Headers, receive: Receive) -> bytes:
    declared = sent.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    message = await receive()
    body: bytes = message.get("body", b"")
    parts = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large()
    if message["type"] == "http.disconnect":
        raise HungUpError
    return b"".join(parts) if len(parts) > 1 else body


def _too_large() -> RequestError:
    return RequestError(413, f"the body is too large, allowed: at most {MAX_BODY_BYTES} bytes")


async def _unless_hung_up(work: Awaitable[Any], receive: Receive) -> Any:
    """The result of `work`, which is cancelled when the client disconnects first."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(receive())  # after the body, only a disconnect can come
    watch.add_done_callback(lambda _: task.cancel())
    try:
        return await task
    except asyncio.CancelledError:
        if watch.done() and not watch.cancelled():
            raise HungUpError from None
        raise
    finally:
        watch.cancel()


async def _send(answer: Answer, request_id: str, send: Send) -> None:
    sent = {
        "content-type": answer.content_type,
        "content-length": str(len(answer.body)),
        headers.REQUEST_ID: request_id,
        **answer.headers,
    }
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body})
