from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_gateway.errors import NotFoundError, UnavailableError
from rag_gateway.routing import named, pick
from rag_runtime.contracts.routing import EmbedderRoute, IndexRoute, Route, RoutingTable


def _route(revision: str, weight: int) -> Route:
    embedder = EmbedderRoute(url="http://embedder", model="m", dimensions=8)
    return Route(revision=revision, weight=weight, embedder=embedder, index=IndexRoute(address="milvus:19530", collection=revision))


def _table(salt: str = "s", **weights: int) -> RoutingTable:
    return RoutingTable(epoch=1, pipeline="p", salt=salt, routes=tuple(_route(name, weight) for name, weight in weights.items()))


KEYS = [f"session-{i}" for i in range(4000)]


@pytest.mark.parametrize("weight", [1, 5, 50, 95])
def test_the_share_of_sessions_follows_the_weight(weight: int) -> None:
    table = _table(stable=100 - weight, candidate=weight)

    share = sum(pick(table, key).revision == "candidate" for key in KEYS) / len(KEYS)

    assert share == pytest.approx(weight / 100, abs=0.025)


@settings(deadline=None)
@given(st.text(max_size=40), st.lists(st.integers(0, 100), min_size=2, max_size=8).map(sorted))
def test_as_weight_rises_nobody_returns_to_stable(key: str, rising: list[int]) -> None:
    answered = [pick(_table(stable=100 - weight, candidate=weight), key).revision for weight in rising]

    assert answered == sorted(answered, key=["stable", "candidate"].index)


def test_back_at_weight_zero_everybody_is_on_stable() -> None:
    assert {pick(_table(stable=100, candidate=0), key).revision for key in KEYS[:100]} == {"stable"}


def test_the_order_of_the_routes_does_not_matter() -> None:
    there, back = _table(a=30, b=70), _table(b=70, a=30)

    assert all(pick(there, key) == pick(back, key) for key in KEYS[:500])


def test_a_new_rollout_draws_other_sessions() -> None:
    first, second = _table("one", stable=90, candidate=10), _table("two", stable=90, candidate=10)

    chosen = [{key for key in KEYS if pick(table, key).revision == "candidate"} for table in (first, second)]

    assert len(chosen[0] & chosen[1]) < len(chosen[0]) / 4


def test_without_weight_nothing_answers_but_preview_still_finds_a_revision_by_name() -> None:
    table = _table(candidate=0)

    with pytest.raises(UnavailableError, match="no revision serves yet"):
        pick(table, "anybody")
    assert named(table, "candidate").revision == "candidate"
    with pytest.raises(NotFoundError, match="known: candidate"):
        named(table, "other")
