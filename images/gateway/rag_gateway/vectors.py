"""Query vectors: embedded once, by the model that the index was made with.

Cached by (model fingerprint, dimensions, prompt, text), which is always safe: an equal key is an equal vector. A model without a
fingerprint is not cached, for its weights may change unseen. Equal questions that arrive together are embedded once; a caller that
hangs up leaves the others their answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from rag_runtime import embeddings
from rag_runtime.contracts.routing import EmbedderRoute
from rag_runtime.embeddings import Embedded, EmbeddingsClient

from .deadline import Clock, Deadline
from .errors import BadRequestError, DeadlineExceededError, GatewayError, UnavailableError, UpstreamInvalidError

# How long an embedder that does not name its fingerprint on each answer is believed to be what it said it was.
CARD_SECONDS = 5.0

Key = tuple[str, int, str, str]


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A question's vector (float32), and whether the text was cut at the model's token limit."""

    values: NDArray[np.float32]
    truncated: int


class VectorCache:
    """The most recently used vectors, bounded in bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._vectors: OrderedDict[Key, QueryVector] = OrderedDict()

    def get(self, key: Key) -> QueryVector | None:
        """The vector, which becomes the most recent."""
        found = self._vectors.get(key)
        if found is not None:
            self._vectors.move_to_end(key)
        return found

    def put(self, key: Key, vector: QueryVector) -> None:
        """Keep the vector, at the cost of the least recent ones."""
        if key in self._vectors:
            return
        self._vectors[key] = vector
        self._bytes += _size(key, vector)
        while self._bytes > self._most:
            self._bytes -= _size(*self._vectors.popitem(last=False))


def _size(key: Key, vector: QueryVector) -> int:
    return int(vector.values.nbytes) + 4 * len(key[3]) + 256


class QueryEmbedder:
    """Embeds questions for one embedder route."""

    def __init__(
        self,
        route: EmbedderRoute,
        client: EmbeddingsClient,
        cache: VectorCache,
        *,
        timeout: float,
        clock: Clock = time.monotonic,
        on_cached: Callable[[], None] = lambda: None,
    ) -> None:
        self._route = route
        self._client = client
        self._cache = cache
        self._timeout = timeout
        self._clock = clock
        self._on_cached = on_cached
        self._flights: dict[str, asyncio.Task[QueryVector]] = {}
        self._prefix = route.query_prefix
        self._card_until = -1.0

    async def embed(self, text: str, deadline: Deadline) -> QueryVector:
        """The vector of `text`, without the prompt. Raises a `GatewayError`."""
        if (found := self._cached(text)) is not None:
            self._on_cached()
            return found
        while True:
            joined = text in self._flights
            flight = self._flight(text)
            try:
                return await self._wait(flight, deadline)
            except DeadlineExceededError:
                # A flight that was joined had less time than this request, which goes on in one of its own while it has some left. A
                # flight that still runs tells of this request's own time: to join it again would never end.
                if not joined or not flight.done():
                    raise
                deadline.remaining("embedding the question")

    async def _wait(self, flight: asyncio.Task[QueryVector], deadline: Deadline) -> QueryVector:
        try:
            return await asyncio.wait_for(asyncio.shield(flight), deadline.remaining("embedding the question"))
        except TimeoutError as error:
            raise DeadlineExceededError("the time ran out while embedding the question") from error

    def _flight(self, text: str) -> asyncio.Task[QueryVector]:
        flight = self._flights.get(text)
        if flight is None:
            flight = asyncio.create_task(self._fetch(text))
            self._flights[text] = flight
            flight.add_done_callback(lambda done: self._landed(text, done))
        return flight

    def _landed(self, text: str, flight: asyncio.Task[QueryVector]) -> None:
        del self._flights[text]
        if not flight.cancelled():
            flight.exception()  # seen here, for everybody may have hung up

    def _key(self, text: str) -> Key | None:
        if self._route.fingerprint is None or self._prefix is None:
            return None
        return (self._route.fingerprint, self._route.dimensions, self._prefix, text)

    def _cached(self, text: str) -> QueryVector | None:
        key = self._key(text)
        return self._cache.get(key) if key else None

    async def _fetch(self, text: str) -> QueryVector:
        try:
            if self._prefix is None:
                self._prefix = (await self._client.describe(timeout=self._timeout)).query_prompt
            embedded = await self._client.embed_queries([text], timeout=self._timeout)
            await self._check(embedded)
        except embeddings.EmbeddingError as error:
            raise failure(error) from error
        vector = QueryVector(embedded.vectors[0], embedded.truncated)
        if (key := self._key(text)) is not None:
            self._cache.put(key, vector)
        return vector

    async def _check(self, embedded: Embedded) -> None:
        """Vectors of another model would be compared with an index they do not belong to."""
        expected = self._route.fingerprint
        if expected is None:
            return
        said = embedded.fingerprint
        if said is None and self._clock() >= self._card_until:
            card = await self._client.describe(timeout=self._timeout, refresh=True)
            said = card.fingerprint or "none"
        if said is not None and said != expected:
            raise UpstreamInvalidError(
                f"the embedder reports model fingerprint {said[:80]!r}, the index was made with {expected!r}", code="fingerprint_mismatch"
            )
        if embedded.fingerprint is None and said is not None:
            self._card_until = self._clock() + CARD_SECONDS


def failure(error: embeddings.EmbeddingError) -> GatewayError:
    """What an embedding that failed means to the caller."""
    match error:
        case embeddings.DeadlineExceededError():
            return DeadlineExceededError("the embedder did not answer in time")
        case embeddings.OverloadedError():
            return UnavailableError("the embedder is overloaded", code="embedder_overloaded", retry_after=ceil(error.retry_after or 1))
        case embeddings.UnavailableError():
            return UnavailableError("the embedder cannot be reached", code="embedder_unavailable")
        case embeddings.TextTooLongError():
            return BadRequestError("the question is longer than the embedding model takes", param="query", code="context_length_exceeded")
        case embeddings.RejectedError(param=str(param)) if param.startswith("input"):  # a text without a token that the model knows
            return BadRequestError("the embedding model takes no such question", param="query", code="embedder_rejected")
        case embeddings.RejectedError():
            return UpstreamInvalidError(f"the embedder refused the question (HTTP {error.status})", code="embedder_rejected")
        case _:
            return UpstreamInvalidError("the embedder's answer cannot be used", code="embedder_invalid")
