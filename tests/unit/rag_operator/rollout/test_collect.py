"""What is taken away, in which order, and what prevents it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rag_operator.model.observed import ComponentState, GatewayPod
from rag_operator.model.plan import Keep
from rag_operator.rollout.collect import Collection, collection
from unit.rag_operator.rollout.situations import A, B, observed, revision, situation, states

KEEP = (Keep(A.name, "stable"),)


def steps(found: Collection) -> dict[str, str]:
    return {step.component: step.step for step in found.steps}


def collect(keep: tuple[Keep, ...] = KEEP, **changes: Any) -> Collection:
    return collection(situation(observed(A, B, **changes), wanted=A), keep)


def index(**changes: Any) -> dict[str, ComponentState]:
    parts = states(A, B)
    parts[B.index.name] = replace(parts[B.index.name], **changes)
    return parts


def test_the_steps_come_in_their_order() -> None:
    assert steps(collect()) == {B.embedder.name: "Delete", B.index.name: "StopWriters"}
    assert steps(collect(components=index(stopped=True)))[B.index.name] == "MarkCollecting"
    assert steps(collect(components=index(stopped=True, collecting=True)))[B.index.name] == "Drop"


def test_a_dropped_index_goes_after_the_records_that_name_its_collection() -> None:
    dropped = index(stopped=True, collecting=True, dropped=True)
    del dropped[B.embedder.name]
    first = collect(components=dropped)
    assert (steps(first), first.forget) == ({}, (B.name,))
    assert steps(collect(components=dropped, revisions={A.name: A})) == {B.index.name: "Delete"}


def test_what_revisions_share_is_kept() -> None:
    layout = revision("a", shards=4)
    found = collection(situation(observed(A, layout), wanted=A), KEEP)
    assert steps(found) == {layout.index.name: "StopWriters"}


def test_a_routed_revision_blocks() -> None:
    found = collect(weights={A.name: 100, B.name: 0})
    assert not found.steps
    assert "still names revision" in found.blocked[0]


def test_a_gateway_that_cannot_be_reached_blocks_and_is_named() -> None:
    found = collect(gateways=(GatewayPod("gateway-1", terminating=True),))
    assert not found.steps
    assert found.waits
    assert "gateway gateway-1 cannot be reached" in found.blocked[0]


def test_a_revision_without_a_record_blocks() -> None:
    assert "has no record" in collect(keep=(*KEEP, Keep("lost", "retired"))).blocked[0]
    assert "has no record" in collect(weights={A.name: 100, "foreign": 0}).blocked[0]


def test_an_index_without_a_record_is_kept_and_named() -> None:
    found = collect(adopted_indexes=(B.index.name,), revisions={A.name: A})
    assert B.index.name not in steps(found)
    assert any(B.index.name in why for why in found.blocked)


def test_nothing_goes_while_it_is_not_known_who_served() -> None:
    found = collection(situation(observed(A, B)), KEEP, adopted=True)
    assert (found.steps, found.forget) == ((), ())


def test_an_index_that_is_being_collected_goes_on_although_it_is_wanted_again() -> None:
    both = (*KEEP, Keep(B.name, "candidate"))
    assert steps(collect(both, components=index(stopped=True, collecting=True))) == {B.index.name: "Drop"}


def test_a_record_goes_when_nothing_of_it_stands() -> None:
    assert collect(components=states(A)).forget == (B.name,)
    assert collect(components=states(A), weights={A.name: 100, B.name: 0}).forget == ()


def test_an_endpoint_of_others_is_nothing_to_take_away_and_keeps_no_record() -> None:
    away = states(A, B)
    away[B.embedder.name] = replace(away[B.embedder.name], elsewhere=True)
    assert steps(collect(components=away)) == {B.index.name: "StopWriters"}
    away[B.index.name] = replace(away[B.index.name], stopped=True, collecting=True, dropped=True)
    found = collect(components=away)
    assert (steps(found), found.forget) == ({}, (B.name,))


def test_an_index_that_is_taken_away_is_not_said_to_be_kept_when_its_record_went_first() -> None:
    dropped = index(stopped=True, collecting=True, dropped=True)
    del dropped[B.embedder.name]
    found = collect(adopted_indexes=(B.index.name,), revisions={A.name: A}, components=dropped)
    assert (steps(found), found.blocked) == ({B.index.name: "Delete"}, ())
