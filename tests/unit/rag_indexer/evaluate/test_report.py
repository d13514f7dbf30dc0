"""The report: only whole answers count, and each metric has its own depth."""

from __future__ import annotations

import pytest

from rag_indexer.evaluate.asking import Reply
from rag_indexer.evaluate.metrics import metric
from rag_indexer.evaluate.questions import Question
from rag_indexer.evaluate.report import depth, percentile, report

QUESTIONS = [Question(str(number), "q", {"a": 2.0, "b": 1.0}) for number in range(3)]


def replies(*documents: tuple[str, ...] | str) -> list[Reply[str]]:
    return [Reply((), 0.1, found) if isinstance(found, str) else Reply(found, 0.1) for found in documents]


def test_means_and_difference_of_the_deciding_metric() -> None:
    found = report(
        QUESTIONS, ("old", replies(("b", "a"), ("a", "b"), ("x",))), ("new", replies(("a", "b"), ("a", "b"), ("a", "b"))), metric("MRR")
    )
    assert found["questions"] == 3
    assert found["meanStable"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["meanCandidate"] == 1
    assert found["difference"] == pytest.approx(0.5, abs=1e-6)
    assert found["low"] <= 0.5 <= found["high"]
    assert {row["name"] for row in found["metrics"]} == {"nDCG@10", "Recall@10", "latencyP50", "latencyP95", "latencyP99"}


def test_a_question_that_one_did_not_answer_counts_for_neither() -> None:
    found = report(QUESTIONS, ("old", replies(("a",), "HTTP 503: no", ("a",))), ("new", replies(("a",), ("x",), ("a",))), metric("MRR"))
    assert (found["questions"], found["errors"], found["errorsStable"], found["errorsCandidate"]) == (2, 1, 1, 0)
    assert found["difference"] == 0
    assert "HTTP 503" in found["message"]


def test_nothing_answered_gives_no_number_and_says_why() -> None:
    found = report(QUESTIONS, ("old", replies("down", "down", "down")), ("new", replies(("a",), ("a",), ("a",))), metric("nDCG@10"))
    assert found["questions"] == 0
    assert "meanStable" not in found
    assert found["message"].endswith("down")


def test_as_many_documents_are_asked_for_as_any_metric_needs() -> None:
    assert depth(metric("nDCG@3")) == 10
    assert depth(metric("Recall@50")) == 50


def test_percentiles_are_nearest_rank() -> None:
    assert [percentile([3.0, 1.0, 2.0, 4.0], share) for share in (0.0, 0.5, 0.95, 1.0)] == [1, 2, 4, 4]


def test_judged_is_left_out_when_the_set_lists_relevant_documents_only() -> None:
    both = replies(("a",), ("x",), ("b",))
    assert "judgedStable" not in report(QUESTIONS, ("old", both), ("new", both), metric("MRR"))
    graded = [Question(q.id, q.text, {**q.relevant, "x": 0.0}) for q in QUESTIONS]
    assert report(graded, ("old", both), ("new", replies(("y",), ("y",), ("y",))), metric("MRR"))["judgedCandidate"] == 0
