"""A stand-in for a generator: streams what it is told to, and breaks off in the ways real ones do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from doubles.web import Double, refusal


class GeneratorDouble(Double):
    """Serves one model. `fault` is one of: refuse, busy, hang, hang_later, cut, error_later, garbage_later, no_reason.

    `gate` is waited for before the last piece; it is open unless a test closes it.
    """

    def __init__(self, pieces: tuple[str, ...] = ("The answer", " is [1]", ".")) -> None:
        super().__init__()
        self.pieces = pieces
        self.fault: str | None = None
        self.tokenizer = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.requests: list[dict[str, Any]] = []
        self.counted = 0
        self.callers: list[tuple[str, int]] = []  # address and port of each generation's client
        self.aborted = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """vLLM's chat and tokenizer paths."""
        return [web.post("/v1/chat/completions", self._chat), web.post("/tokenize", self._tokenize)]

    async def _tokenize(self, request: web.Request) -> web.Response:
        if not self.tokenizer:
            return refusal(404, "not found")
        self.counted += 1
        return web.json_response({"count": tokens(await request.json()), "max_model_len": 4096})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        assert request.transport is not None
        self.callers.append(request.transport.get_extra_info("peername")[:2])
        match self.fault:
            case "refuse":
                return refusal(400, "the prompt is too long")
            case "busy":
                return refusal(503, "busy")
            case "hang":
                return await self.hang()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._stream(request, response)
        except (ConnectionResetError, asyncio.CancelledError):
            self.aborted.set()
            raise
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        await _send(response, delta={"role": "assistant", "content": ""})
        for i, piece in enumerate(self.pieces):
            last = i == len(self.pieces) - 1
            if last:
                await self._fail(request, response)
                await self.gate.wait()
            await _send(response, delta={"content": piece})
        if self.fault == "no_reason":
            return
        await _send(response, delta={}, finish_reason="stop")
        usage = {"prompt_tokens": 11, "completion_tokens": len(self.pieces), "total_tokens": 11 + len(self.pieces)}
        await response.write(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")

    async def _fail(self, request: web.Request, response: web.StreamResponse) -> None:
        match self.fault:
            case "hang_later":
                await self.hang()
            case "cut":
                assert request.transport is not None
                request.transport.abort()
            case "error_later":
                await response.write(b'data: {"error": {"message": "engine died", "code": 500}}\n\n')
            case "garbage_later":
                await response.write(b"data: {half\n\n")


async def _send(response: web.StreamResponse, *, delta: dict[str, str], finish_reason: str | None = None) -> None:
    event = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def tokens(body: dict[str, Any]) -> int:
    """The stand-in's own tokenizer: four bytes a token and four tokens a message."""
    return sum(len(message["content"].encode()) // 4 + 4 for message in body["messages"])
