"""The guard's verdict, without a store."""

from __future__ import annotations

import pytest

from rag_indexer.indexing.deleting import Held, _verdict
from rag_indexer.indexing.target import Target


def target(approval: str | None = None, fraction: float = 0.1) -> Target:
    return Target("one", None, None, None, "content", max_delete_fraction=fraction, approval=approval)  # type: ignore[arg-type]


def gone(count: int) -> list[str]:
    return [f"s/{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("missing", "known", "held"), [(0, 0, False), (0, 10, False), (1, 10, False), (2, 10, True), (10, 10, True), (1, 9, True)]
)
def test_more_than_the_share_is_held(missing: int, known: int, held: bool) -> None:
    assert (_verdict(target(), gone(missing), known, None, "l") is not None) is held


def test_a_share_of_all_holds_nothing() -> None:
    assert _verdict(target(fraction=1.0), gone(10), 10, None, "l") is None


def test_an_approval_given_after_the_hold_releases_it() -> None:
    held = Held("l", 5, 10, approval="old")
    assert _verdict(target("old"), gone(5), 10, held, "m") == Held("m", 5, 10, "old")
    assert _verdict(target("new"), gone(5), 10, held, "m") is None
    assert _verdict(target("new"), gone(7), 10, held, "m") == Held("m", 7, 10, "new"), "much more than was approved is held anew"
    assert _verdict(target("new"), gone(6), 10, held, "m") is None, "what went missing meanwhile within the share is covered"


def test_without_an_approval_it_stays_held() -> None:
    assert _verdict(target(None), gone(5), 10, Held("l", 5, 10, None), "m") == Held("m", 5, 10, None)
