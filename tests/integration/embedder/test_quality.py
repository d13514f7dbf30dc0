"""What retrieval scores on these embeddings: exact search over Cranfield, without chunking, as tests/data/cranfield/README.md measured it.

CI takes the first 300 documents and the questions about them; a campaign takes all 1,400, in every precision.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import cranfield
from integration.embedder.process import running_embedder
from rag_embedder.engines.base import Vectors
from rag_indexer.evaluate.metrics import ndcg
from rag_runtime.contracts.headers import LANE_QUERY
from rag_runtime.embeddings import EmbeddingsClient

CALL = 128


async def embed(client: EmbeddingsClient, texts: list[str]) -> Vectors:
    """In the query lane, where texts beyond 256 tokens are cut, as in the reference."""
    parts = [texts[start : start + CALL] for start in range(0, len(texts), CALL)]
    return np.concatenate([(await client.embed(part, lane=LANE_QUERY, timeout=600)).vectors for part in parts])


async def score(precision: str, count: int | None) -> float:
    """nDCG@10, averaged over the questions."""
    documents = {path: text for path, text in cranfield.texts(count).items() if text.strip()}
    paths = [f"c/{path}" for path in documents]
    questions = cranfield.questions("c", set(documents))
    async with running_embedder(RAG_PRECISION=precision) as embedder, EmbeddingsClient(embedder.url, "minilm") as client:
        passages, asked = await asyncio.gather(
            embed(client, list(documents.values())), embed(client, [question["text"] for question in questions])
        )
    nearest = np.argsort(-(asked @ passages.T), axis=1)[:, :10]
    found = [[paths[place] for place in row] for row in nearest]
    return float(np.mean([ndcg(each, question["relevant"], 10) for each, question in zip(found, questions, strict=True)]))


async def test_retrieval_over_300_documents_is_as_good_as_with_the_exact_model() -> None:
    exact = 0.5015  # measured with Float32
    assert await score("Auto", 300) == pytest.approx(exact, abs=0.01)


@pytest.mark.campaign
@pytest.mark.parametrize("precision", ["Float32", "Auto", "Int8"])
async def test_retrieval_over_all_of_cranfield_scores_what_the_reference_scores(precision: str) -> None:
    assert await score(precision, None) == pytest.approx(0.4996, abs=0.0001 if precision == "Float32" else 0.005)
