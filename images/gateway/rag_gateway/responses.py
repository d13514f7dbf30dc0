"""Answers on the wire: passages, a whole answer, a chat completion whole or as a stream. Each returns the outcome that is counted."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from rag_runtime.contracts import headers
from rag_runtime.contracts.routing import RoutingTable
from rag_runtime.milvus.search import Hit

from .answering import MODE_PASSAGES, Answer, Asked
from .citations import MarkerFilter, citations, quoted
from .errors import UpstreamError
from .http import Exchange
from .metrics import DEGRADED, ERROR, OK
from .requests import ChatRequest
from .retrieval import Retrieved

logger = logging.getLogger(__name__)


async def send_passages(exchange: Exchange, asked: Asked, table: RoutingTable, retrieved: Retrieved) -> str:
    """The answer of `/v1/retrieve`."""
    _say_where_from(exchange, asked, retrieved)
    body = {"results": [_passage(hit) for hit in retrieved.hits], "revision": asked.route.revision, "epoch": table.epoch}
    await exchange.json(200, body)
    return OK


async def send_answer(exchange: Exchange, asked: Asked, table: RoutingTable, answer: Answer) -> str:
    """The answer of `/v1/query`."""
    _say_how(exchange, asked, answer)
    text, _, usage = await _whole(answer)
    body = {
        "answer": text,
        "citations": citations(answer.cited),
        "revision": asked.route.revision,
        "epoch": table.epoch,
        **({"usage": usage} if usage else {}),
    }
    await exchange.json(200, body)
    return DEGRADED if answer.degraded else OK


async def send_chat(exchange: Exchange, asked: Asked, table: RoutingTable, request: ChatRequest, answer: Answer) -> str:
    """The answer of `/v1/chat/completions`."""
    _say_how(exchange, asked, answer)
    frame = {
        "id": f"chatcmpl-{exchange.headers[headers.REQUEST_ID]}",
        "created": int(time.time()),
        "model": table.pipeline,
    }
    if request.stream:
        return await _stream(exchange, {**frame, "object": "chat.completion.chunk"}, answer, include_usage=request.include_usage)
    text, reason, usage = await _whole(answer)
    message = {"role": "assistant", "content": text}
    body = {
        **frame,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "citations": citations(answer.cited),
        **({"usage": usage} if usage else {}),
    }
    await exchange.json(200, body)
    return DEGRADED if answer.degraded else OK


def _say_where_from(exchange: Exchange, asked: Asked, retrieved: Retrieved) -> None:
    if retrieved.truncated:
        exchange.headers[headers.TRUNCATED] = str(retrieved.truncated)
    if asked.preview:
        exchange.headers[headers.COLLECTION] = retrieved.collection
        exchange.headers[headers.DIMENSION] = str(retrieved.dimension)


def _say_how(exchange: Exchange, asked: Asked, answer: Answer) -> None:
    _say_where_from(exchange, asked, answer.retrieved)
    if answer.degraded:
        exchange.headers[headers.MODE] = MODE_PASSAGES


def _passage(hit: Hit) -> dict[str, Any]:
    return {
        "document": hit.document,
        "uri": hit.uri,
        "title": hit.title,
        "score": hit.score,
        "text": hit.text,
        "span": {"start": hit.start, "end": hit.end},
        "ordinal": hit.ordinal,
        "metadata": hit.metadata,
    }


async def _pieces(answer: Answer) -> AsyncIterator[str]:
    """The answer's text with its markers checked; the passages themselves when nothing generates."""
    cited: Sequence[Hit] = answer.cited
    if answer.completion is None:
        yield quoted(cited)
        return
    checked = MarkerFilter(len(cited))
    async for piece in answer.completion.pieces():
        if text := checked.feed(piece):
            yield text
    if text := checked.finish():
        yield text


async def _whole(answer: Answer) -> tuple[str, str, dict[str, Any] | None]:
    """Text, finish reason and usage."""
    try:
        text = "".join([piece async for piece in _pieces(answer)])
    finally:
        _close(answer)
    completion = answer.completion
    return text, _reason(answer), completion.usage if completion else None


async def _stream(exchange: Exchange, frame: dict[str, Any], answer: Answer, *, include_usage: bool) -> str:
    """Chunks; the first carries the citations. A failure becomes an `error` object, and no `[DONE]` follows it."""

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        return orjson.dumps({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more})

    try:
        await exchange.begin_stream()
        await exchange.event(chunk({"role": "assistant", "content": ""}, citations=citations(answer.cited)))
        async for text in _pieces(answer):
            await exchange.event(chunk({"content": text}))
        usage = answer.completion.usage if answer.completion else None
        totals = [orjson.dumps({**frame, "choices": [], "usage": usage})] if include_usage and usage else []
        await exchange.event(chunk({}, _reason(answer)), *totals, b"[DONE]")
        outcome = DEGRADED if answer.degraded else OK
    except UpstreamError as error:
        logger.warning("an answer broke off", extra={"reason": error.message})
        await exchange.event(orjson.dumps(error.body()))
        outcome = ERROR
    finally:
        _close(answer)
    await exchange.end_stream()
    return outcome


def _reason(answer: Answer) -> str:
    return (answer.completion.finish_reason if answer.completion else None) or "stop"


def _close(answer: Answer) -> None:
    if answer.completion:
        answer.completion.close()
