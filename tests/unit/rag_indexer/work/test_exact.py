"""What is reported of two revisions beside exact search, and how the questions are embedded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from rag_indexer.evaluate.asking import Reply
from rag_indexer.evaluate.questions import Question
from rag_indexer.work.exact import Place, _counted, _embedded, nearest, similarity
from rag_runtime.contracts.embedding import MAX_INPUTS
from rag_runtime.embeddings import Embedded
from rag_runtime.milvus.errors import IncompleteReadError
from rag_runtime.milvus.rows import Chunk

TRUTH = [[("a", 0), ("b", 0)]] * 2


def replies(*found: list[Place] | None) -> list[Reply[Place]]:
    """`None`: not answered."""
    return [Reply((), 0.0, "HTTP 503: no") if one is None else Reply(tuple(one), 0.1) for one in found]


def test_the_share_of_what_exact_search_finds_is_compared() -> None:
    found = _counted(TRUTH, replies([("a", 0), ("b", 0)], [("a", 0), ("b", 0)]), replies([("a", 0)], None))
    assert found == {
        "questions": 1,
        "errors": 1,
        "errorsStable": 0,
        "errorsCandidate": 1,
        "meanStable": 1.0,
        "meanCandidate": 0.5,
        "difference": -0.5,
        "low": -0.5,
        "high": -0.5,
    }


def test_a_stable_that_finds_nothing_leaves_no_difference_to_report() -> None:
    found = _counted(TRUTH, replies([], []), replies([("a", 0)], []))
    assert (found["meanStable"], found["meanCandidate"]) == (0.0, 0.25)
    assert not found.keys() & {"difference", "low", "high"}


async def test_more_questions_than_one_call_takes_are_embedded_in_several() -> None:
    sizes: list[int] = []

    async def embed_queries(texts: Sequence[str], *, timeout: float) -> Embedded:
        sizes.append(len(texts))
        return Embedded(np.array([[float(text)] for text in texts], np.float32))

    async def model(_: Any) -> Any:
        return SimpleNamespace(embedder=SimpleNamespace(client=SimpleNamespace(embed_queries=embed_queries)))

    questions = [Question(str(number), str(number), {}) for number in range(MAX_INPUTS + 100)]
    index: Any = SimpleNamespace(spec=SimpleNamespace(embedder=None))
    context: Any = SimpleNamespace(model=model)
    vectors = await _embedded(context, index, questions)
    assert max(sizes) <= MAX_INPUTS
    assert vectors[:, 0].tolist() == [float(number) for number in range(len(questions))]


def test_nearer_is_higher_for_distances_too() -> None:
    queries, vectors = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32), np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)
    assert similarity(queries, vectors, "L2").tolist() == [[-25.0, -1.0], [0.0, -18.0]]


def test_an_index_that_changes_while_it_is_read_is_read_again_from_its_beginning() -> None:
    class Busy:
        reads = 0

        def scan_chunks(self, *, vectors: bool) -> Iterator[list[Chunk]]:
            self.reads += 1
            yield [Chunk("1", "docs/a", "text", 0, 0, 4, vector=np.array([1.0, 0.0], np.float32))]
            if self.reads == 1:
                raise IncompleteReadError("another document came")
            yield [Chunk("2", "docs/b", "text", 0, 0, 4, vector=np.array([0.0, 1.0], np.float32))]

    store: Any = Busy()
    assert nearest(store, np.array([[1.0, 0.1]], np.float32), "COSINE") == [[("docs/a", 0), ("docs/b", 0)]]
