"""Whether an embedder is there."""

from __future__ import annotations

import pytest

from doubles.embedder import EmbedderDouble
from rag_indexer.indexing.embedding import Embedder
from rag_runtime.embeddings import EmbeddingsClient


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
        reason = await Embedder(client).why_away(0.5)
    assert reason.startswith(says)
    assert bool(reason) == bool(says)
