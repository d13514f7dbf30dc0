"""When what is kept for rollback is cold, and what the verb rollback does then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag_operator import names
from rag_operator.model.observed import GatewayPod
from rag_operator.model.plan import Leaving, Record, Retired
from rag_operator.rollout import endings, triggers, verbs
from rag_operator.rollout.cold import is_cold
from unit.rag_operator.rollout.situations import (
    CANARY,
    HOUR,
    NOW,
    A,
    B,
    keeps,
    observed,
    planned,
    record,
    revision,
    rollout,
    situation,
    states,
)

COLD = {**CANARY, "rollback": {"window": "24h", "mode": "Cold"}}
C = revision("c")
WINDOW = Retired(A.name, NOW + 24 * HOUR)
PROMOTED = Record(stable=B.name, retired=WINDOW, epoch=7)


def asks(before: Record, value: str = f"{A.name}/1", wanted: Any = B, policy: dict[str, Any] = COLD, **seen: Any) -> Record:
    found = situation(observed(B, A, verbs={names.VERB_ROLLBACK: value}, **seen), wanted, policy)
    move = verbs.due(found, before)
    assert move is not None
    return move.record


@pytest.mark.parametrize(
    ("before", "policy", "cold"),
    [
        (PROMOTED, COLD, True),
        (PROMOTED, CANARY, False),
        (replace(PROMOTED, retired=replace(WINDOW, idle_at=NOW + 1)), COLD, False),
        (replace(PROMOTED, leaving=(Leaving(A.name, NOW + 1, ""),)), COLD, False),
        (replace(PROMOTED, rollout=rollout(candidate=A.name)), COLD, False),
        (replace(PROMOTED, rollout=rollout(candidate=C.name)), COLD, True),
        (replace(PROMOTED, retired=None), COLD, False),
    ],
)
def test_what_is_retired_is_cold_when_it_has_settled_and_is_on_no_way_back(before: Record, policy: dict[str, Any], *, cold: bool) -> None:
    assert is_cold(situation(observed(B, A), B, policy), before) is cold


def test_its_route_goes_first_and_its_pods_only_when_no_gateway_can_use_it() -> None:
    seen = observed(B, A, weights={B.name: 100, A.name: 0})
    first = planned(seen, PROMOTED, **{"rollback": COLD["rollback"]})
    assert first.table is not None
    assert dict(first.table.weights) == {B.name: 100}
    assert not keeps(first)[A.name].idle
    then = planned(observed(B, A), PROMOTED, **{"rollback": COLD["rollback"]})
    assert keeps(then)[A.name].idle
    held = replace(observed(B, A), gateways_known=False)
    waiting = planned(held, PROMOTED, **{"rollback": COLD["rollback"]})
    assert not keeps(waiting)[A.name].idle
    assert waiting.requeue_after is not None
    assert waiting.requeue_after <= 10


def test_the_verb_brings_a_cold_revision_up_before_it_gets_anything() -> None:
    after = asks(PROMOTED)
    assert after.stable == B.name
    assert after.retired == WINDOW
    assert after.rollout is not None
    assert (after.rollout.candidate, after.rollout.back, after.rollout.weight) == (A.name, True, 0)


def test_before_it_has_settled_the_verb_moves_everything_at_once() -> None:
    assert asks(replace(PROMOTED, retired=replace(WINDOW, idle_at=NOW + 1))).stable == A.name


def test_a_candidate_gives_way_and_is_not_tried_again_by_itself() -> None:
    before = replace(PROMOTED, rollout=rollout(candidate=C.name, weight=10))
    after = asks(before, wanted=C)
    assert after.rollout is not None
    assert after.rollout.candidate == A.name
    assert after.rejected == (C.name,)
    found = situation(observed(B, A, C), C, COLD)
    assert not triggers.superseded(found, after)
    assert not triggers.reverted(situation(observed(B, A), B, COLD), after)


def test_a_second_command_on_the_way_back_is_refused() -> None:
    again = asks(replace(asks(PROMOTED), verbs_done={}), f"{A.name}/2")
    assert "on its way back already" in again.verbs_refused[names.VERB_ROLLBACK]


def test_at_the_end_what_was_stable_is_rejected() -> None:
    back = asks(PROMOTED)
    assert back.rollout is not None
    moved = endings.roll_back(situation(observed(A, B), B, COLD), back, replace(back.rollout, weight=100)).record
    assert (moved.stable, moved.retired, moved.rollout, moved.rejected) == (A.name, None, None, (B.name,))
    assert (moved.decisions[0].what, moved.decisions[0].revision) == ("RolledBack", B.name)


def test_a_way_back_that_is_aborted_leaves_the_window_open_and_stable_untouched() -> None:
    moved = endings.abort(situation(observed(B, A), B, COLD), asks(PROMOTED), "AbortRequested", "x").record
    assert (moved.stable, moved.rejected, moved.rollout, moved.leaving) == (B.name, (), None, ())
    assert moved.retired is not None
    assert (moved.retired.revision, moved.retired.until, moved.retired.idle_at) == (A.name, WINDOW.until, NOW + 300)


def test_when_the_window_closed_meanwhile_what_is_aborted_leaves() -> None:
    late = replace(asks(PROMOTED), retired=None)
    moved = endings.abort(situation(observed(B, A), B, COLD), late, "AbortRequested", "x").record
    assert [entry.revision for entry in moved.leaving] == [A.name]


@pytest.mark.parametrize("state", [{"cold": True}, {"woken": True}], ids=["cold", "on its way back"])
def test_a_lost_record_of_a_cold_revision_is_found_by_its_index(state: dict[str, Any]) -> None:
    seen = observed(B, A)
    parts = {name: replace(part, **(state if name == A.index.name else {})) for name, part in seen.components.items()}
    found = situation(replace(seen, components=parts), B, COLD)
    restored = endings.restore(found, record(stable=None), B.name, "x").record.retired
    assert restored is not None
    assert restored.revision == A.name


@pytest.mark.parametrize(
    "gateway",
    [
        GatewayPod("g", ready=True, reachable=True, epoch_served=7, epoch_oldest=6),
        GatewayPod("g", ready=False, reachable=False, epoch_served=None, epoch_oldest=None),
    ],
    ids=["a stream by an older table", "a gateway that starts"],
)
@pytest.mark.parametrize("index", [{"cold": True}, {"stopped": True}], ids=["out of memory", "to be filled anew"])
def test_what_is_cold_stays_so_whatever_gateways_are_busy_with(gateway: GatewayPod, index: dict[str, bool]) -> None:
    down = states(A, ready_replicas=0, desired_replicas=0)
    down[A.index.name] = replace(down[A.index.name], **index)
    seen = replace(observed(B, A), components=states(B) | down, gateways=(gateway,))
    kept = planned(
        seen, replace(PROMOTED, retired=Retired(A.name, WINDOW.until, {A.embedder.name: 4}, NOW - 1)), wanted=B, rollback=COLD["rollback"]
    ).keep
    assert [(keep.idle, keep.floors) for keep in kept if keep.role == "retired"] == [(True, {})]
