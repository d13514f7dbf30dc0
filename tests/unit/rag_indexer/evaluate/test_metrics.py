"""Metrics by hand-computed cases and by properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_indexer.evaluate.metrics import judged, metric, ndcg, recall, reciprocal_rank

RELEVANT = {"a": 4.0, "b": 2.0, "c": 0.0}


@pytest.mark.parametrize(
    ("case", "found", "expected"),
    [
        ("the ideal order is 1", ["a", "b"], 1.0),
        ("nothing relevant is 0", ["x", "y"], 0.0),
        ("the other way round", ["b", "a"], (2 + 4 / math.log2(3)) / (4 + 2 / math.log2(3))),
        ("beyond k does not count", ["x"] * 10 + ["a"], 0.0),
    ],
)
def test_ndcg(case: str, found: list[str], expected: float) -> None:
    assert ndcg(found, RELEVANT, 10) == pytest.approx(expected), case


def test_recall_counts_only_grades_above_zero() -> None:
    assert recall(["a", "c"], RELEVANT, 10) == 0.5


def test_reciprocal_rank_is_of_the_first_relevant() -> None:
    assert reciprocal_rank(["c", "b", "a"], RELEVANT) == 0.5
    assert reciprocal_rank(["x"] * 10 + ["a"], RELEVANT) == 0


def test_judged_counts_zero_grades_too() -> None:
    assert judged(["a", "c", "x", "y"], RELEVANT) == 0.5
    assert judged([], RELEVANT) == 0


@pytest.mark.parametrize("name", ["nDCG", "nDCG@0", "nDCG@100", "Recall@", "mrr", "P@10"])
def test_an_unknown_metric_says_what_is_allowed(name: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: nDCG@k or Recall@k with k from 1 to 99, or MRR"):
        metric(name)


@given(st.permutations(["a", "b", "c", "x", "y"]), st.sampled_from(["nDCG@3", "Recall@2", "MRR", "nDCG@10"]))
def test_every_metric_is_between_0_and_1_and_best_for_the_ideal_order(found: list[str], name: str) -> None:
    chosen = metric(name)
    value = chosen.of(found, RELEVANT)
    assert 0 <= value <= chosen.of(["a", "b", "c", "x", "y"], RELEVANT) <= 1
