"""Asks both revisions the same questions through the gateway's preview port, a few at a time, the two in turn.

An answer counts only when it is whole: an error, a degraded answer (`x-rag-mode`) or an answer by another revision than the one asked
for is an error of that revision, never a result. A gateway that is replaced, or a store that starts again, is nobody's error: what found
nobody there, or was told "not now", is asked again at the end, a few times.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, TypeVar

import httpx

from rag_indexer.evaluate.questions import Question
from rag_runtime.contracts import headers

logger = logging.getLogger(__name__)

CONCURRENCY = 4  # the gateway also answers people
TIMEOUT = 30.0
# Before what was not answered is asked again. A store that is killed and has an index to load is back within them on a busy machine.
PAUSES = (1.0, 4.0, 10.0, 20.0, 30.0, 60.0)
PATIENCE = sum(PAUSES)  # seconds after the first round in which another is begun: a round may take long by itself
_NOT_NOW = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
_NOBODY = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Reply(Generic[Found]):
    """One question answered by one revision. `error` is empty when `found` and `seconds` can be used; `passing` if it may be over soon."""

    found: tuple[Found, ...]
    seconds: float
    error: str = ""
    passing: bool = False


@dataclass(frozen=True)
class View(Generic[Found]):
    """What is asked for, how much of it, and what is read of each result."""

    group_by: str
    depth: int
    read: Callable[[dict[str, Any]], Found]


def documents(depth: int) -> View[str]:
    """The best documents."""
    return View("document", depth, lambda result: str(result["document"]))


@dataclass(frozen=True)
class Asker(Generic[Found]):
    """Asks one gateway."""

    http: httpx.AsyncClient
    view: View[Found]

    async def ask(self, question: Question, revision: str) -> Reply[Found]:
        """One question, one revision, once; never raises for what the gateway does."""
        body = {"query": question.text, "k": self.view.depth, "groupBy": self.view.group_by}
        begun = time.perf_counter()
        try:
            answer = await self.http.post("/v1/retrieve", json=body, headers={headers.REVISION: revision})
            seconds = time.perf_counter() - begun
            error = _complaint(answer, revision)
            found = () if error else tuple(self.view.read(result) for result in answer.json()["results"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as failure:
            return Reply((), 0.0, f"{type(failure).__name__}: {failure}", isinstance(failure, _NOBODY))
        return Reply(found, seconds, error, answer.status_code in _NOT_NOW)

    async def ask_all(self, questions: Sequence[Question], revisions: Sequence[str]) -> dict[str, list[Reply[Found]]]:
        """Revision -> one reply per question, in the order of `questions`."""
        replies: dict[tuple[int, str], Reply[Found]] = {}
        left = list(product(range(len(questions)), revisions))
        until = None
        for pause in (*PAUSES, None):
            replies.update(zip(left, await self._round(questions, left), strict=True))
            left = [one for one in left if replies[one].passing]
            until = until or time.monotonic() + PATIENCE
            if not left or pause is None or time.monotonic() > until:
                break
            logger.warning("not answered, asking again", extra={"questions": len(left), "reason": replies[left[0]].error, "seconds": pause})
            await asyncio.sleep(pause)
        return {revision: [replies[number, revision] for number in range(len(questions))] for revision in revisions}

    async def _round(self, questions: Sequence[Question], asked: Sequence[tuple[int, str]]) -> list[Reply[Found]]:
        gate = asyncio.Semaphore(CONCURRENCY)

        async def in_turn(number: int, revision: str) -> Reply[Found]:
            async with gate:
                return await self.ask(questions[number], revision)

        return await asyncio.gather(*(in_turn(number, revision) for number, revision in asked))


async def ask_all(url: str, questions: Sequence[Question], revisions: Sequence[str], view: View[Found]) -> dict[str, list[Reply[Found]]]:
    """Revision -> one reply per question, in the order of `questions`."""
    limits = httpx.Limits(max_connections=CONCURRENCY)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=limits, trust_env=False) as http:
        return await Asker(http, view).ask_all(questions, revisions)


def _complaint(reply: httpx.Response, revision: str) -> str:
    if reply.status_code != httpx.codes.OK:
        return f"HTTP {reply.status_code}: {reply.text[:200]}"
    if mode := reply.headers.get(headers.MODE):
        return f"a degraded answer ({headers.MODE}: {mode})"
    answered = reply.headers.get(headers.REVISION)
    return "" if answered == revision else f"answered by revision {answered}, asked for {revision}"
