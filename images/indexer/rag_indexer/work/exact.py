"""Only the layout changed: how many of the ten chunks that exact search finds does each revision find?

The vectors of both indexes are the same, so relevance judgements would measure nothing but noise. Exact search compares every question with
every vector of the candidate's index.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from rag_indexer.errors import EmbedderError
from rag_indexer.evaluate.asking import Reply, View, ask_all
from rag_indexer.evaluate.bootstrap import paired_difference
from rag_indexer.evaluate.job import EvaluationSettings
from rag_indexer.evaluate.questions import Question, parse
from rag_indexer.indexing.embedding import TEXTS_PER_REQUEST
from rag_indexer.work.context import Context
from rag_indexer.work.evaluation import read_object
from rag_runtime.contracts.index import Index
from rag_runtime.contracts.index_status import timestamp
from rag_runtime.embeddings import EmbeddingError
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.scan import reread

DEPTH = 10
METRIC = f"Recall@{DEPTH}"
Place = tuple[str, int]  # document and ordinal: what an answer says of a chunk
Matrix = NDArray[np.float32]
CHUNKS: View[Place] = View("chunk", DEPTH, lambda result: (result["document"], result["ordinal"]))
Answers = Sequence[Reply[Place]]  # question by question


async def compare_with_exact(context: Context, index: Index, settings: EvaluationSettings) -> dict[str, Any]:
    """The report, of the same shape as an evaluation's."""
    found: dict[str, Any] = {"id": settings.evaluation_id, "stable": settings.stable, "candidate": settings.candidate, "metric": METRIC}
    try:
        found |= await _numbers(context, index, settings)
    except (ValueError, OSError, httpx.HTTPError) as error:
        found |= {"questions": 0, "message": f"failed to compare with exact search: {error}"[:1024]}
    return {**found, "completionTime": timestamp(time.time())}


async def _numbers(context: Context, index: Index, settings: EvaluationSettings) -> dict[str, Any]:
    questions = parse(await asyncio.to_thread(_text, context, settings))
    vectors = await _embedded(context, index, questions)
    exact = await asyncio.to_thread(nearest, await context.store(index.spec), vectors, index.spec.identity.layout.index.metric)
    answers = await ask_all(settings.gateway_url, questions, (settings.stable, settings.candidate), CHUNKS)
    return _counted(exact, answers[settings.stable], answers[settings.candidate])


def _counted(exact: list[list[Place]], stable: Answers, candidate: Answers) -> dict[str, Any]:
    """The report's numbers; keys without a number are left out."""
    whole = [
        (truth, one.found, two.found) for truth, one, two in zip(exact, stable, candidate, strict=True) if not one.error and not two.error
    ]
    counts = {
        "questions": len(whole),
        "errors": len(exact) - len(whole),
        "errorsStable": sum(bool(reply.error) for reply in stable),
        "errorsCandidate": sum(bool(reply.error) for reply in candidate),
    }
    if not whole:
        return {**counts, "message": "no question was answered by both"}
    ones, twos = [_share(truth, one) for truth, one, _ in whole], [_share(truth, two) for truth, _, two in whole]
    difference = paired_difference(ones, twos, 0)
    numbers = {
        "meanStable": float(np.mean(ones)),
        "meanCandidate": float(np.mean(twos)),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
    }
    return {**counts, **{name: round(value, 6) for name, value in numbers.items() if math.isfinite(value)}}


def _text(context: Context, settings: EvaluationSettings) -> str:
    location = settings.questions_s3
    return read_object(context, orjson.loads(location)) if location else Path(settings.questions_file).read_text()


async def _embedded(context: Context, index: Index, questions: list[Question]) -> Matrix:
    client = (await context.model(index.spec.embedder)).embedder.client
    texts = [question.text for question in questions]
    try:
        # One after another: the queries of people share the lane.
        found = [
            await client.embed_queries(texts[start : start + TEXTS_PER_REQUEST], timeout=120)
            for start in range(0, len(texts), TEXTS_PER_REQUEST)
        ]
    except EmbeddingError as error:
        raise EmbedderError(f"failed to embed the questions: {error}") from error
    return np.concatenate([part.vectors for part in found])


def nearest(store: IndexStore, queries: Matrix, metric: str, depth: int = DEPTH) -> list[list[Place]]:
    """The `depth` nearest chunks of each query, by comparing with every vector. Blocks; raises `IncompleteReadError`."""
    return reread(partial(_nearest, store, queries, metric, depth))


def _nearest(store: IndexStore, queries: Matrix, metric: str, depth: int) -> list[list[Place]]:
    best: list[list[tuple[float, Place]]] = [[] for _ in queries]
    for page in store.scan_chunks(vectors=True):
        places = [(chunk.document, chunk.ordinal) for chunk in page]
        scores = similarity(queries, np.stack([chunk.vector for chunk in page if chunk.vector is not None]), metric)
        for known, row in zip(best, scores, strict=True):
            top = np.argsort(-row)[:depth]
            known += [(float(row[at]), places[at]) for at in top]
            known.sort(key=lambda item: -item[0])
            del known[depth:]
    return [[place for _, place in known] for known in best]


def similarity(queries: Matrix, vectors: Matrix, metric: str) -> Matrix:
    """Higher is nearer, whatever the metric."""
    if metric == "L2":
        # Query by query: all differences at once would be gigabytes.
        distances: Matrix = np.stack([-((vectors - query) ** 2).sum(axis=1) for query in queries])
        return distances
    if metric == "COSINE":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    products: Matrix = queries @ vectors.T
    return products


def _share(truth: Sequence[Place], found: Sequence[Place]) -> float:
    return len(set(truth) & set(found)) / len(truth) if truth else 1.0
