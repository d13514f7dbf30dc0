"""The client itself. One instance per embedder and caller; it keeps connections and may be used by many tasks at once."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import aiohttp

from rag_runtime import logs
from rag_runtime.contracts import embedding, headers
from rag_runtime.contracts.embedding import ModelCard
from rag_runtime.embeddings import wire
from rag_runtime.embeddings.errors import (
    DeadlineExceededError,
    InvalidAnswerError,
    OverloadedError,
    RejectedError,
    TextTooLongError,
    UnavailableError,
)
from rag_runtime.embeddings.wire import Vectors
from rag_runtime.retry import RetryBudget

# The first pause before another attempt; doubled each time, with jitter.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
# A Service without a pod may swallow connections; a network that needs longer for one is none to embed over.
CONNECT_SECONDS = 5.0
# A larger body is handed to the socket in pieces, so that other callers get their turn.
STREAMED_BYTES = 1 << 20
# 2,048 vectors of 32,768 floats in base64 with room to spare: an answer beyond it is not embeddings.
MAX_ANSWER_BYTES = 512 * 1024 * 1024

# A body and the headers that came with it.
Answer = tuple[bytes, Mapping[str, str]]


@dataclass(frozen=True)
class Embedded:
    """Vectors, one row per text (float32), how many query texts were cut at the token limit, and which model the server says it was."""

    vectors: Vectors
    truncated: int = 0
    fingerprint: str | None = None


class EmbeddingsClient:
    """Embeds queries and documents. A prefix of None means the model's own prompt (from `/v1/models`), "" means none.

    `api_key` is called for each request, so a rotated Secret is picked up. `session` is shared when given, else owned and closed.
    A server that refuses the parameter `dimensions` is asked without it, and the length is checked all the same.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        dimensions: int | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        api_key: Callable[[], str | None] = lambda: None,
        session: aiohttp.ClientSession | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self.model = model
        self.dimensions = dimensions
        self._takes_dimensions: bool | None = None  # unknown until it has answered once
        self._query_prefix = query_prefix
        self._document_prefix = document_prefix
        self._api_key = api_key
        self._session = session
        self._owns_session = session is None
        self._budget = budget or RetryBudget()
        self._sleep = sleep
        self._card: ModelCard | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they are the caller's."""
        if self._owns_session and self._session is not None:
            await self._session.close()
            self._session = None

    async def describe(self, *, timeout: float = 10.0, refresh: bool = False) -> ModelCard:
        """What the server says about the model; remembered until `refresh`. Unknown fields are None for other servers."""
        if self._card is None or refresh:
            answer = await self._offered(embedding.PATH_MODELS, timeout)
            # Not every OpenAI-compatible server lists its models; then nothing is known.
            self._card = wire.card_of(answer, self.model) if answer is not None else ModelCard(id=self.model)
        return self._card

    async def tokenizer(self, *, timeout: float = 30.0) -> bytes | None:
        """The model's tokenizer.json; None when the server does not offer it."""
        return await self._offered(embedding.PATH_TOKENIZER, timeout)

    async def _offered(self, path: str, timeout: float) -> bytes | None:
        try:
            answer, _ = await self._attempts("GET", path, None, headers.LANE_QUERY, timeout)
        except RejectedError as error:
            if error.status in (404, 405):
                return None
            raise
        return answer

    async def embed_queries(self, texts: Sequence[str], *, timeout: float) -> Embedded:
        """Embed questions in the query lane, with the query prompt, within `timeout` seconds."""
        prefix = self._query_prefix if self._query_prefix is not None else (await self.describe(timeout=timeout)).query_prompt
        return await self.embed([prefix + text for text in texts], lane=headers.LANE_QUERY, timeout=timeout)

    async def embed_documents(self, texts: Sequence[str], *, timeout: float) -> Embedded:
        """Embed passages in the bulk lane, with the document prompt. A full queue is waited for, until `timeout`."""
        prefix = self._document_prefix if self._document_prefix is not None else (await self.describe(timeout=timeout)).document_prompt
        return await self.embed([prefix + text for text in texts], lane=headers.LANE_BULK, timeout=timeout)

    async def embed(self, texts: Sequence[str], *, lane: str, timeout: float) -> Embedded:
        """Embed `texts` exactly as they are. Raises `ValueError` beyond `MAX_INPUTS` texts, else an `EmbeddingError`."""
        if len(texts) > embedding.MAX_INPUTS:
            raise ValueError(f"{len(texts)} texts in one call, allowed: at most {embedding.MAX_INPUTS}")
        if not texts:
            return Embedded(wire.vectors_of(b'{"data":[]}', 0, self.dimensions))
        if self.dimensions is None or self._takes_dimensions is False:
            return await self._embedded(texts, None, lane, timeout)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await self._embedded(texts, self.dimensions, lane, timeout)
            self._takes_dimensions = True
        except RejectedError as error:
            if self._takes_dimensions or error.status not in (400, 422) or isinstance(error, TextTooLongError):
                raise
            # It may be the parameter that is refused, also where it names the only length there is.
            found = await self._embedded(texts, None, lane, timeout - (loop.time() - began))
            self._takes_dimensions = False
        return found

    async def _embedded(self, texts: Sequence[str], dimensions: int | None, lane: str, timeout: float) -> Embedded:
        body = wire.request_body(self.model, texts, dimensions)
        answer, said = await self._attempts("POST", embedding.PATH_EMBEDDINGS, body, lane, timeout)
        vectors = wire.vectors_of(answer, len(texts), self.dimensions)
        return Embedded(vectors, wire.truncated_of(said), said.get(headers.FINGERPRINT))

    async def _attempts(self, method: str, path: str, body: bytes | None, lane: str, timeout: float) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        self._budget.earn()
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._once(method, path, body, lane, deadline - loop.time())
            except DeadlineExceededError:
                raise
            except UnavailableError as error:
                wait = _pause_for(error, pause)
                if loop.time() + wait >= deadline or not (_is_backpressure(error, lane) or self._budget.spend()):
                    raise
            await self._sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _once(self, method: str, path: str, body: bytes | None, lane: str, remaining: float) -> Answer:
        if remaining <= 0:
            raise DeadlineExceededError(f"no time left to ask {self.url}")
        try:
            async with self._connections().request(
                method,
                self.url + path,
                data=io.BytesIO(body) if body and len(body) > STREAMED_BYTES else body,
                headers=self._headers(lane, remaining),
                timeout=aiohttp.ClientTimeout(total=remaining, sock_connect=min(CONNECT_SECONDS, remaining)),
                allow_redirects=False,  # a redirect could carry texts and key to another host
            ) as response:
                answer = await response.content.read(-1) if response.status == 200 else await response.content.read(65_536)
                if response.status != 200:
                    raise wire.failure(response.status, response.headers, answer)
                if len(answer) > MAX_ANSWER_BYTES:
                    raise InvalidAnswerError(f"an answer of {len(answer)} bytes")
                return answer, response.headers
        except aiohttp.ConnectionTimeoutError as error:
            raise UnavailableError(f"nobody answers at {self.url}: no connection within {CONNECT_SECONDS:.0f} s") from error
        except TimeoutError as error:
            raise DeadlineExceededError(f"no answer from {self.url} within {remaining:.3f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"failed to ask {self.url}: {type(error).__name__}: {error}") from error

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Unbounded here: the server sheds load at its door, a queue of ours would only hide it.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=5)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self._session

    def _headers(self, lane: str, remaining: float) -> dict[str, str]:
        named = {
            "content-type": "application/json",
            headers.LANE: lane,
            headers.DEADLINE: str(int(remaining * 1000)),
            headers.REQUEST_ID: logs.bound("request_id"),
            "authorization": f"Bearer {key}" if (key := self._api_key()) else None,
        }
        return {name: value for name, value in named.items() if value is not None}


def _is_backpressure(error: UnavailableError, lane: str) -> bool:
    """A bulk caller told to wait waits: that is the protocol, not a failure, and costs no retry."""
    return lane == headers.LANE_BULK and isinstance(error, OverloadedError)


def _pause_for(error: UnavailableError, pause: float) -> float:
    asked = error.retry_after if isinstance(error, OverloadedError) else None
    return max(asked or 0.0, random.uniform(pause / 2, pause))
