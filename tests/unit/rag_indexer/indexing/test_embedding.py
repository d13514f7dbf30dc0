"""Many requests to one embedder, of which one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from doubles.embedder import EmbedderDouble
from rag_indexer.errors import EmbedderError
from rag_indexer.indexing.embedding import REQUESTS_IN_FLIGHT, TEXTS_PER_REQUEST, Embedder
from rag_runtime.embeddings import EmbeddingsClient, InvalidAnswerError


class Hanging:
    """A client of an embedder that answers its first request with nonsense and, until it is `well`, the others never."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_well = False

    async def embed_documents(self, texts: Sequence[str], *, timeout: float) -> Any:
        self.asked += 1
        if self.is_well:
            return SimpleNamespace(vectors=np.ones((len(texts), 2)))
        if self.asked == 1:
            raise InvalidAnswerError("nonsense")
        return await asyncio.Event().wait()


async def test_a_request_that_fails_ends_those_beside_and_behind_it() -> None:
    client = Hanging()
    embedder = Embedder(client)  # type: ignore[arg-type]
    with pytest.raises(EmbedderError, match="nonsense"):
        await embedder.embed(map(str, range(10 * TEXTS_PER_REQUEST)))
    client.is_well = True
    assert len(await asyncio.wait_for(embedder.embed(["later"]), 10)) == 1
    assert client.asked <= REQUESTS_IN_FLIGHT + 2


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (None, ""),
        ("overloaded", ""),
        ("hang", "the embedder does not answer: no answer from "),
        ("denied", "the embedder refuses: "),
        ("garbage", "the embedder's answer cannot be used: "),
    ],
)
async def test_an_embedder_is_there_when_it_embeds_or_is_busy(fault: str | None, says: str) -> None:
    async with EmbedderDouble(8) as double, EmbeddingsClient(double.url, double.model) as client:
        double.fault = fault
        reason = await Embedder(client).why_away(0.5 if fault == "hang" else 5)
    assert reason.startswith(says)
    assert bool(reason) == bool(says)
