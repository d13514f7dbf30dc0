"""A stand-in for an embedder: the same text always gets the same vector, and it fails in the ways real ones do."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from doubles.web import Double, refusal
from rag_runtime.contracts import embedding, headers
from rag_runtime.contracts.embedding import ModelCard


def vector_of(text: str, dimensions: int, salt: str = "") -> NDArray[np.float32]:
    """A unit vector that only `text`, `dimensions` and `salt` decide."""
    seed = int.from_bytes(hashlib.sha256(f"{salt}\0{text}".encode()).digest()[:8], "big")
    values = np.random.default_rng(seed).standard_normal(dimensions)
    return (values / np.linalg.norm(values)).astype(np.float32)


class EmbedderDouble(Double):
    """Serves one model. `fault` is one of: hang, hold (until `release`), error, overloaded, nan, short, garbage, denied."""

    def __init__(self, dimensions: int, *, model: str = "double", fingerprint: str | None = None, names_fingerprint: bool = True) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.model = model
        self.fingerprint = fingerprint or f"print-{dimensions}"
        self.names_fingerprint = names_fingerprint
        self.packed: str | None = None  # the fingerprint that its card names instead: of weights that were packed anew, vectors stay
        self.max_tokens: int | None = None  # of one text, as its card says
        self.tokenizer: bytes | None = None  # what it offers as one
        self.fault: str | None = None
        self.texts: list[str] = []
        self.deadlines: list[str | None] = []
        self.asked = asyncio.Event()
        self.release = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """OpenAI's two paths, and ours."""
        return [
            web.post(embedding.PATH_EMBEDDINGS, self._embeddings),
            web.get(embedding.PATH_MODELS, self._models),
            web.get(embedding.PATH_TOKENIZER, self._tokenizer),
        ]

    async def _tokenizer(self, _: web.Request) -> web.Response:
        return web.Response(body=self.tokenizer) if self.tokenizer is not None else refusal(404, "not found")

    async def _models(self, _: web.Request) -> web.Response:
        if self.fault == "denied":
            return refusal(401, "no such key")
        card = ModelCard(
            id=self.model,
            fingerprint=self.packed or self.fingerprint,
            dimensions=self.dimensions,
            max_tokens=self.max_tokens,
            query_prompt="query: ",
        )
        return web.json_response({"object": "list", "data": [card.to_entry()]})

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.texts += body["input"]
        self.deadlines.append(request.headers.get(headers.DEADLINE))
        self.asked.set()
        match self.fault:
            case "hang":
                return await self.hang()
            case "hold":
                await self.release.wait()
            case "error":
                return refusal(500, "out of memory")
            case "denied":
                return refusal(401, "no such key")
            case "overloaded":
                return refusal(429, "queue is full", retry_after="7")
            case "garbage":
                return web.Response(body=b"<html>", content_type="text/html")
        data = [{"object": "embedding", "index": i, "embedding": self._encoded(text)} for i, text in enumerate(body["input"])]
        said = {headers.FINGERPRINT: self.fingerprint} if self.names_fingerprint else {}
        return web.json_response({"object": "list", "data": data, "model": self.model}, headers=said)

    def _encoded(self, text: str) -> str:
        vector = vector_of(text, self.dimensions - (self.fault == "short"), self.fingerprint)
        if self.fault == "nan":
            vector = vector * np.float32("nan")
        return base64.b64encode(vector.tobytes()).decode()
