"""Asks both revisions the same questions through the gateway's preview port, a few at a time, the two in turn.

An answer counts only when it is whole: an error, a degraded answer (`x-rag-mode`) or an answer by another revision than the one asked
for is an error of that revision, never a result. A gateway that is replaced meanwhile is nobody's error: it is asked again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from rag_indexer.evaluate.questions import Question
from rag_runtime.contracts import headers

logger = logging.getLogger(__name__)

CONCURRENCY = 4  # the gateway also answers people
TIMEOUT = 30.0
# Before a question is asked again that found nobody there, or a gateway that said "not now".
PAUSES = (1.0, 4.0)
_NOT_NOW = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})


@dataclass(frozen=True)
class Reply:
    """One question answered by one revision. `error` is empty when `documents` and `seconds` can be used."""

    documents: tuple[str, ...]
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Asker:
    """Asks one gateway."""

    http: httpx.AsyncClient
    depth: int

    async def ask(self, question: Question, revision: str) -> Reply:
        """One question, one revision; never raises for what the gateway does."""
        body = {"query": question.text, "k": self.depth, "groupBy": "document"}
        try:
            reply, seconds = await retrieve(self.http, body, revision)
            error = _complaint(reply, revision)
            documents = () if error else tuple(result["document"] for result in reply.json()["results"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as failure:
            return Reply((), 0.0, f"{type(failure).__name__}: {failure}")
        return Reply(documents, seconds, error)


async def retrieve(http: httpx.AsyncClient, body: dict[str, Any], revision: str) -> tuple[httpx.Response, float]:
    """One revision's answer to `body` and its seconds, asked for again a few times. Raises `httpx.HTTPError` when none came at last."""
    for pause in PAUSES:
        try:
            reply, seconds = await _once(http, body, revision)
            if reply.status_code not in _NOT_NOW:
                return reply, seconds
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout) as error:
            logger.warning("the gateway is not there, asking again", extra={"reason": f"{type(error).__name__}: {error}"})
        await asyncio.sleep(pause)
    return await _once(http, body, revision)


async def _once(http: httpx.AsyncClient, body: dict[str, Any], revision: str) -> tuple[httpx.Response, float]:
    begun = time.perf_counter()
    reply = await http.post("/v1/retrieve", json=body, headers={headers.REVISION: revision})
    return reply, time.perf_counter() - begun


async def ask_all(url: str, questions: Sequence[Question], revisions: Sequence[str], depth: int) -> dict[str, list[Reply]]:
    """Revision -> one reply per question, in the order of `questions`."""
    limits = httpx.Limits(max_connections=CONCURRENCY)
    gate = asyncio.Semaphore(CONCURRENCY)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=limits, trust_env=False) as http:
        asker = Asker(http, depth)

        async def in_turn(question: Question) -> list[Reply]:
            async with gate:
                return [await asker.ask(question, revision) for revision in revisions]

        rows = await asyncio.gather(*(in_turn(question) for question in questions))
    return {revision: [row[column] for row in rows] for column, revision in enumerate(revisions)}


def _complaint(reply: httpx.Response, revision: str) -> str:
    if reply.status_code != httpx.codes.OK:
        return f"HTTP {reply.status_code}: {reply.text[:200]}"
    if mode := reply.headers.get(headers.MODE):
        return f"a degraded answer ({headers.MODE}: {mode})"
    answered = reply.headers.get(headers.REVISION)
    return "" if answered == revision else f"answered by revision {answered}, asked for {revision}"
