"""Asking again and again ends with an answer, or in time."""

from __future__ import annotations

import pytest

from polling import until, within


def test_the_first_answer_that_is_true_is_returned() -> None:
    answers = iter([0, 0, 7, 8])
    assert until(lambda: next(answers), 20, "a number", every=0) == 7


def test_asking_in_vain_says_for_what() -> None:
    with pytest.raises(LookupError, match="waited 0 s in vain for the end of days"):
        until(lambda: False, 0, "the end of days", every=0, error=LookupError)


def test_who_has_no_time_asks_once_at_least() -> None:
    asked = []
    assert within(lambda: asked.append("once"), -1) is None
    assert asked == ["once"]
