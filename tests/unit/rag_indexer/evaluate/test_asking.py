"""Questions and a gateway that is replaced while they are asked."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from rag_indexer.evaluate import asking
from rag_indexer.evaluate.asking import Asker, Reply, documents
from rag_indexer.evaluate.questions import Question

QUESTION = Question("1", "why?", {"a": 1.0})
Answer = Callable[[httpx.Request], httpx.Response]


def whole(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"results": [{"document": "a"}]}, headers={"x-rag-revision": "new"})


def status(code: int) -> Answer:
    return lambda _: httpx.Response(code, text="no")


def nobody(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def silence(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


async def ask(*answers: Answer) -> tuple[Reply[str], int]:
    """What comes of one question, and how many answers were left."""
    script = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        return script.pop(0)(request)

    (reply,) = (await asked(answer, QUESTION))["new"]
    return reply, len(script)


async def asked(answer: Answer, *questions: Question) -> dict[str, list[Reply[str]]]:
    async with httpx.AsyncClient(base_url="http://gateway", transport=httpx.MockTransport(answer)) as http:
        return await Asker(http, documents(10)).ask_all(questions, ["new"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.0, 0.0))


@pytest.mark.parametrize("trouble", [nobody, status(503), status(429)])
async def test_a_gateway_that_is_away_for_a_moment_costs_no_question(trouble: Answer) -> None:
    reply, left = await ask(trouble, trouble, whole)
    assert (reply.found, reply.error, left) == (("a",), "", 0)


@pytest.mark.parametrize(("trouble", "said"), [(nobody, "ConnectError: refused"), (status(503), "HTTP 503: no")])
async def test_a_gateway_that_stays_away_is_an_error(trouble: Answer, said: str) -> None:
    reply, left = await ask(*[trouble] * 3, whole)
    assert (reply.error, left) == (said, 1)


@pytest.mark.parametrize("trouble", [status(500), status(502), silence])
async def test_what_is_the_revisions_own_failure_is_not_asked_again(trouble: Answer) -> None:
    reply, left = await ask(trouble, whole)
    assert reply.error
    assert left == 1


async def test_only_what_was_not_answered_is_asked_again_and_replies_keep_the_order_of_the_questions() -> None:
    heard: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["query"]
        heard.append(text)
        away = text == "1" and heard.count("1") < 3
        found = {"results": [{"document": text}]}
        return httpx.Response(503) if away else httpx.Response(200, json=found, headers={"x-rag-revision": "new"})

    replies = await asked(answer, *(Question(str(number), str(number), {"a": 1.0}) for number in range(3)))
    assert [reply.found for reply in replies["new"]] == [("0",), ("1",), ("2",)]
    assert sorted(heard) == ["0", "1", "1", "1", "2"]


async def test_no_round_is_begun_when_patience_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE", -1.0)
    reply, left = await ask(status(503), whole)
    assert (reply.error, left) == ("HTTP 503: no", 1)
