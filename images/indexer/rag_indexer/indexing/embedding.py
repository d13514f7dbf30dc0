"""Embedding many texts: each once, several requests in flight, and a text the model refuses costs only its own document."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from rag_indexer.errors import EmbedderError
from rag_runtime.embeddings import EmbeddingError, EmbeddingsClient, InvalidAnswerError, OverloadedError, RejectedError, UnavailableError
from rag_runtime.milvus.rows import Vector

logger = logging.getLogger(__name__)

TEXTS_PER_REQUEST = 64
REQUESTS_IN_FLIGHT = 4
REQUEST_SECONDS = 300.0
ATTEMPTS = 6
LONGEST_PAUSE_SECONDS = 20.0
# Whether an embedder embeds is only found out by asking it to: one that hangs may still say what it serves.
_KNOCK = "water"


class Refused(str):
    """Why the model does not take a text."""

    __slots__ = ()


class Embedder:
    """One model. Safe to be used by many tasks; all share its requests in flight."""

    def __init__(self, client: EmbeddingsClient, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.client = client
        self.embedded = 0
        self._slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        self._sleep = sleep

    async def embed(self, texts: Iterable[str], *, patience: float = float("inf")) -> dict[str, Vector | Refused]:
        """Vectors by text. Raises `EmbedderError` when the embedder stays away or its answers are no embeddings.

        A request that failed is not made again when it is `patience` seconds old.
        """
        # Texts of like length share a request, which wastes least on padding.
        distinct = sorted(set(texts), key=len)
        requests = [distinct[start : start + TEXTS_PER_REQUEST] for start in range(0, len(distinct), TEXTS_PER_REQUEST)]
        asking = [asyncio.ensure_future(self._request(request, patience)) for request in requests]
        try:
            answers = await asyncio.gather(*asking)
        finally:
            # When one fails the others are of no use, and would keep probes and later passes from being asked.
            for each in asking:
                each.cancel()
        return {text: result for answer in answers for text, result in answer.items()}

    async def why_away(self, seconds: float) -> str:
        """Why the embedder is of no use: it embeds nothing within `seconds`; empty when it does, or is only busy."""
        try:
            await self.client.embed_queries([_KNOCK], timeout=seconds)
        except OverloadedError:
            return ""
        except UnavailableError as error:
            return f"the embedder does not answer: {error}"
        except InvalidAnswerError as error:
            return f"the embedder's answer cannot be used: {error}"
        except EmbeddingError as error:
            return f"the embedder refuses: {error}"
        return ""

    async def _request(self, texts: Sequence[str], patience: float) -> dict[str, Vector | Refused]:
        try:
            async with self._slots:
                vectors = await self._patiently(texts, patience)
        except RejectedError as error:
            return await self._halves(texts, error, patience)
        self.embedded += len(texts)
        return dict(zip(texts, vectors, strict=True))

    async def _halves(self, texts: Sequence[str], error: RejectedError, patience: float) -> dict[str, Vector | Refused]:
        """Find the text that is refused by asking again with fewer."""
        if len(texts) == 1:
            return {texts[0]: Refused(f"the embedder refuses a chunk: {error}")}
        middle = len(texts) // 2
        return {**await self._request(texts[:middle], patience), **await self._request(texts[middle:], patience)}

    async def _patiently(self, texts: Sequence[str], patience: float) -> Sequence[Vector]:
        pause, began = 0.5, time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = await self.client.embed_documents(texts, timeout=REQUEST_SECONDS)
                return list(found.vectors)
            except RejectedError as error:
                if error.status not in (400, 413, 422):  # a wrong key or model is no text's fault
                    raise EmbedderError(f"the embedder refuses: {error}") from error
                raise
            except InvalidAnswerError as error:
                raise EmbedderError(f"the embedder's answer cannot be used: {error}") from error
            except UnavailableError as error:
                if attempt == ATTEMPTS or time.monotonic() - began > patience:
                    raise EmbedderError(f"the embedder does not answer: {error}") from error
                logger.warning("the embedder does not answer, trying again", extra={"attempt": attempt, "reason": str(error)})
            except EmbeddingError as error:
                raise EmbedderError(str(error)) from error
            await self._sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")
