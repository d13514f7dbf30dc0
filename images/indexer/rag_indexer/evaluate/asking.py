"""Asks both revisions the same questions through the gateway's preview port, a few at a time, the two in turn.

An answer counts only when it is whole: an error, a degraded answer (`x-rag-mode`) or an answer by another revision than the one asked
for is an error of that revision, never a result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from rag_indexer.evaluate.questions import Question
from rag_runtime.contracts import headers

CONCURRENCY = 4  # the gateway also answers people
TIMEOUT = 30.0


@dataclass(frozen=True)
class Reply:
    """One question answered by one revision. `error` is empty when `documents` can be used."""

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
        begun = time.perf_counter()
        body = {"query": question.text, "k": self.depth, "groupBy": "document"}
        try:
            reply = await self.http.post("/v1/retrieve", json=body, headers={headers.REVISION: revision})
            error = _complaint(reply, revision)
            documents = () if error else tuple(result["document"] for result in reply.json()["results"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as failure:
            return Reply((), time.perf_counter() - begun, f"{type(failure).__name__}: {failure}")
        return Reply(documents, time.perf_counter() - begun, error)


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
