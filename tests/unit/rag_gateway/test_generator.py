"""Generations that fail before their first token, and events that are legal and rare."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from doubles.web import Double
from rag_gateway import generator
from rag_gateway.deadline import Deadline
from rag_gateway.errors import UpstreamError
from rag_gateway.generator import ATTEMPTS, RETRY_PAUSE_SECONDS, GeneratorClient, Timeouts
from rag_runtime.contracts.routing import GeneratorRoute
from rag_runtime.retry import RetryBudget


class Scripted(Double):
    """Each request gets the next script: events that are sent, and then the connection is cut unless the last says why it ended.

    Without `cut` its answer ends there like a whole one.
    """

    def __init__(self, *scripts: list[dict[str, Any]], cut: bool = True) -> None:
        super().__init__()
        self.scripts = list(scripts)
        self.cut = cut
        self.asked = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/chat/completions", self._chat)]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        script = self.scripts.pop(0)
        for event in script:
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        if self.cut and not (script and script[-1]["choices"][0].get("finish_reason")):
            assert request.transport is not None
            request.transport.abort()
        return response


def event(content: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}], **more}


async def generated(double: Scripted, budget: RetryBudget | None = None) -> str:
    async with double, aiohttp.ClientSession() as session:
        route = GeneratorRoute(url=double.url, model="m", max_model_len=100)
        client = GeneratorClient(route, session, budget or RetryBudget(), Timeouts(5, 5), lambda: None)
        completion = await client.complete([], {}, Deadline(5))
        try:
            return "".join([piece async for piece in completion.pieces()])
        finally:
            completion.close()


@pytest.mark.parametrize("before", [[], [event("")]], ids=["after its headers", "after its role"])
@pytest.mark.parametrize("cut", [True, False])
async def test_a_generator_that_goes_before_its_first_token_is_asked_again(before: list[dict[str, Any]], cut: bool) -> None:
    double = Scripted(before, [event("whole", "stop")], cut=cut)

    assert await generated(double) == "whole"
    assert double.asked == 2


async def test_a_generator_that_always_goes_is_asked_within_the_budget() -> None:
    double = Scripted([], [])

    with pytest.raises(UpstreamError):
        await generated(double, RetryBudget(reserve=1))
    assert double.asked == 2


async def test_a_prompt_that_ends_its_generator_does_not_end_them_all() -> None:
    double = Scripted(*[[]] * 20)

    with pytest.raises(UpstreamError):
        await generated(double)
    assert double.asked == ATTEMPTS == 3


async def test_a_generator_that_goes_has_a_moment_before_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def paused(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", paused)
    with pytest.raises(UpstreamError):
        await generated(Scripted(*[[]] * ATTEMPTS))
    first, second = (pause for pause in pauses if pause)
    assert first != second
    assert all(RETRY_PAUSE_SECONDS <= pause <= 2 * RETRY_PAUSE_SECONDS for pause in (first, second))


async def test_a_generator_is_not_asked_again_when_no_time_is_left_for_the_moment_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "RETRY_PAUSE_SECONDS", 60)
    double = Scripted([], [])

    with pytest.raises(UpstreamError):
        await generated(double)
    assert double.asked == 1


async def test_a_generator_that_goes_after_its_first_token_is_not_asked_again() -> None:
    double = Scripted([event("half")], [event("whole", "stop")])

    with pytest.raises(UpstreamError, match="broke off"):
        await generated(double)
    assert double.asked == 1


async def test_an_error_that_is_null_is_none() -> None:
    assert await generated(Scripted([event("who", error=None), event("le", "stop", error=None)])) == "whole"


async def test_content_that_is_no_text_is_not_passed_on_as_one() -> None:
    with pytest.raises(UpstreamError, match="not OpenAI's"):
        await generated(Scripted([event([{"type": "thinking", "thinking": "hm"}]), event("whole", "stop")]))
