"""Which table a position asks for, and whom gateways hold up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag_operator.model.observed import GatewayPod, Observed, TableState
from rag_operator.model.plan import Record, Retired
from rag_operator.rollout import traffic
from unit.rag_operator.rollout.situations import NOW, A, B, observed, record, rollout, situation, states

POD = GatewayPod("gateway-0", ready=True, reachable=True, epoch_served=7, epoch_oldest=7)
TEN = record(rollout=rollout(weight=10))


def test_a_ready_candidate_gets_its_weight() -> None:
    intent = traffic.intent(situation(observed(A, B)), TEN)
    assert intent is not None
    assert intent.weights == {A.name: 90, B.name: 10}


def test_an_unready_candidate_gets_nothing() -> None:
    seen = observed(A, B, weights={A.name: 90, B.name: 10}, components=states(A, B, ready=False))
    intent = traffic.intent(situation(seen), TEN)
    assert intent is not None
    assert intent.weights == {A.name: 100}


def test_a_restarting_embedder_leaves_the_candidate_in_reach_of_the_preview() -> None:
    parts = states(A, B)
    parts[B.embedder.name] = replace(parts[B.embedder.name], ready=False)
    seen = observed(A, B, weights={A.name: 90, B.name: 10}, components=parts)
    assert traffic.weights(situation(seen), TEN) == {A.name: 100, B.name: 0}


def told(seen: Observed, position: Record, policy: dict[str, Any] | None = None) -> list[str]:
    found = situation(seen, A, policy or {})
    intent = traffic.intent(found, position)
    return [note.reason for note in traffic.told(found, position, intent)] if intent is not None else []


def test_weight_that_a_candidate_loses_because_it_is_not_ready_is_told_once() -> None:
    away = {"weights": {A.name: 90, B.name: 10}, "components": states(A, B, ready=False)}
    assert told(observed(A, B, **away), TEN) == ["WeightWithdrawn"]
    assert told(observed(A, B, **{**away, "weights": {A.name: 100}}), TEN) == []
    assert told(observed(A, B), TEN) == [], "what it gets was told when it was decided"


def test_a_window_that_goes_cold_is_told() -> None:
    kept = record(retired=Retired(B.name, NOW + 60))
    seen = observed(A, B, weights={A.name: 100, B.name: 0})
    assert told(seen, kept, {"rollback": {"mode": "Cold"}}) == ["RollbackWindowCold"]
    assert told(seen, kept) == []


def test_a_candidate_that_became_too_small_gets_no_more_than_it_has() -> None:
    half = record(rollout=rollout("Shifting", weight=50))
    parts = states(A, B)
    parts[A.embedder.name] = replace(parts[A.embedder.name], desired_replicas=4, ready_replicas=4)
    parts[B.embedder.name] = replace(parts[B.embedder.name], desired_replicas=1, ready_replicas=1)
    small = observed(A, B, weights={A.name: 90, B.name: 10}, components=parts)
    assert traffic.weights(situation(small), half) == {A.name: 90, B.name: 10}
    parts[B.embedder.name] = replace(parts[B.embedder.name], desired_replicas=2, ready_replicas=2)
    assert traffic.weights(situation(replace(small, components=parts)), half) == {A.name: 50, B.name: 50}


def test_nothing_is_moved_from_who_answers_to_who_cannot() -> None:
    seen = observed(B, A, weights={A.name: 50, B.name: 50}, components=states(B, A, ready=False))
    assert traffic.intent(situation(seen), record()) is None


def test_stable_gets_what_nobody_can_answer() -> None:
    nobody = {**states(A, ready=False), **states(B, ready=False)}
    intent = traffic.intent(situation(observed(A, B, weights={A.name: 50, B.name: 50}, components=nobody)), TEN)
    assert intent is not None
    assert intent.weights == {A.name: 100}


def test_a_table_that_says_what_it_should_is_left_alone() -> None:
    assert traffic.intent(situation(observed(A, B)), record()) is None


def test_nothing_is_written_before_the_first_revision_serves() -> None:
    assert traffic.intent(situation(observed(A, B, table=None)), Record()) is None


def test_the_retired_revision_stays_in_reach_and_comes_once() -> None:
    retired = Record(stable=B.name, retired=Retired(A.name, NOW + 60))
    assert traffic.weights(situation(observed(B, A)), retired) == {B.name: 100, A.name: 0}


def test_the_salt_is_the_same_for_one_rollout_whoever_writes_it() -> None:
    assert traffic.salt(TEN, "") == traffic.salt(TEN, "other") == f"{A.name}-{B.name}"
    assert traffic.salt(record(), "kept") == "kept"


@pytest.mark.parametrize(
    ("pod", "waits"),
    [
        (POD, False),
        (replace(POD, epoch_served=6), True),
        (replace(POD, reachable=False), True),
        (replace(POD, epoch_served=None), True),
        (replace(POD, ready=False, epoch_served=6), False),
        (replace(POD, terminating=True, epoch_served=6), False),
    ],
    ids=["current", "behind", "out of reach", "silent", "not ready", "terminating"],
)
def test_a_step_waits_for_gateways_that_take_requests(pod: GatewayPod, waits: bool) -> None:
    assert bool(traffic.unacknowledged(observed(A, gateways=(pod,)))) == waits


@pytest.mark.parametrize(
    ("pod", "holds"),
    [
        (POD, False),
        (replace(POD, epoch_oldest=6), True),
        (replace(POD, terminating=True, epoch_oldest=6), True),
        (replace(POD, ready=False, reachable=False), True),
        (replace(POD, epoch_oldest=None), True),
    ],
    ids=["current", "a stream of before", "a stream of a terminating one", "out of reach", "silent"],
)
def test_deletion_waits_for_every_gateway_and_names_it(pod: GatewayPod, holds: bool) -> None:
    found = traffic.holding(observed(A, gateways=(pod,)))
    assert bool(found) == holds
    assert all("gateway-0" in why for why in found)


def test_gateways_that_could_not_be_listed_hold_everything() -> None:
    seen = observed(A, gateways=(), gateways_known=False)
    assert traffic.holding(seen)
    assert traffic.unacknowledged(seen)


def test_a_table_that_is_missing_is_no_proof_that_nobody_uses_it() -> None:
    assert traffic.holding(observed(A, table=None))
    assert not traffic.holding(observed(A, table=TableState(7, {})))
