"""Asking a pipeline: through the API server's proxy, or at a URL. I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from rag_operator import names
from rag_operator.cli.connect import ANSWER_SECONDS, CommandError, Session
from rag_operator.cli.questions import Question, scores
from rag_runtime.contracts import headers

AT_ONCE = 4  # questions asked at the same time: an evaluation by hand must not starve users


async def ask(session: Session, pipeline: str, question: str, k: int | None) -> dict[str, Any]:
    """Ask through the API server, which needs nothing but the user's own rights."""
    return await session.post(names.gateway(pipeline), "http", "/v1/query", _body(question, k))


async def ask_at(url: str, question: str, k: int | None, key: str | None) -> dict[str, Any]:
    """Ask at a gateway's own address."""
    sent = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, headers=sent) as client:
            answer = await client.post(f"{url.rstrip('/')}/v1/query", json=_body(question, k))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(f"failed to ask {url}: {str(error) or type(error).__name__}") from error
    if not answer.is_success:
        raise CommandError(f"failed to ask {url}: {answer.status_code} {_reason(answer)}")
    try:
        found: dict[str, Any] = answer.json()
    except ValueError as error:
        raise CommandError(f"failed to ask {url}: what answers there is no gateway: {answer.text[:200]}") from error
    return found


def _body(question: str, k: int | None) -> dict[str, Any]:
    return {"query": question, **({"k": k} if k else {})}


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def shown(answer: Mapping[str, Any]) -> Sequence[Markdown | Table | Text]:
    """Return an answer with its citations for people."""
    grid = Table(box=None, show_header=False, pad_edge=False)
    for citation in answer.get("citations") or ():
        where = citation.get("uri") or citation.get("document")
        grid.add_row(
            f"[{citation.get('index', '')}]", str(citation.get("title") or citation.get("document")), Text(str(where), style="dim")
        )
    by = Text(f"revision {answer.get('revision')}, epoch {answer.get('epoch')}", style="dim")
    return [Markdown(str(answer.get("answer", ""))), grid, by]


async def evaluate(session: Session, pipeline: str, revision: str, questions: Sequence[Question], k: int) -> list[dict[str, float]]:
    """Ask the questions of one revision through the preview port, and return the metrics of each answer."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(question: Question) -> dict[str, float]:
        async with turn:
            body = {"query": question.text, "k": k, "groupBy": "document"}
            answer = await session.post(names.preview(pipeline), "preview", "/v1/retrieve", body, {headers.REVISION: revision})
        if answer.get("revision") != revision:
            raise CommandError(f"revision {answer.get('revision')} answered for {revision}: it is not in the routing table yet")
        return scores(question, [result["document"] for result in answer["results"]], k)

    return list(await asyncio.gather(*(one(question) for question in questions)))
