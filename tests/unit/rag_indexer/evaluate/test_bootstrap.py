"""The interval: right about what is known, and repeatable."""

from __future__ import annotations

import math
import random

import pytest

from rag_indexer.evaluate.bootstrap import paired_difference


def test_equal_answers_differ_by_nothing() -> None:
    found = paired_difference([0.2, 0.5, 0.9], [0.2, 0.5, 0.9])
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_difference_is_relative_to_the_stable_mean() -> None:
    assert paired_difference([0.4, 0.6], [0.44, 0.66]).value == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one() -> None:
    chance = random.Random(1)
    ones = [chance.random() for _ in range(200)]
    twos = [min(1.0, value + chance.uniform(-0.1, 0.2)) for value in ones]
    first, again, other = (paired_difference(ones, twos, seed) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert first.low < first.value < first.high
    assert other.low == pytest.approx(first.low, abs=0.01)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    chance = random.Random(2)
    covered = 0
    for trial in range(60):
        ones = [chance.gauss(0.5, 0.2) for _ in range(80)]
        twos = [value + chance.gauss(0.02, 0.1) for value in ones]
        found = paired_difference(ones, twos, seed=trial)
        covered += found.low <= 0.04 <= found.high
    assert covered >= 51  # 57 expected of 60; 51 is three standard deviations below


def test_more_questions_make_the_interval_narrower() -> None:
    chance = random.Random(3)
    ones = [chance.random() for _ in range(400)]
    twos = [chance.random() for _ in range(400)]
    few, many = paired_difference(ones[:50], twos[:50]), paired_difference(ones, twos)
    assert many.high - many.low < (few.high - few.low) / 2


def test_a_stable_mean_of_zero_has_no_relative_difference() -> None:
    assert math.isnan(paired_difference([0.0, 0.0], [0.5, 0.5]).value)


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values of stable and 1 of the candidate"):
        paired_difference([0.1, 0.2], [0.1])
