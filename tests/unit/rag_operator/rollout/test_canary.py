"""Steps and the weights that belong to them."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator.api.v1alpha1.rollout import Rollout as Policy
from rag_operator.rollout.bluegreen import has_gates, steps_of
from rag_operator.rollout.canary import SetWeight, Wait, goal, next_goal


def policy(**raw: Any) -> Policy:
    return Policy.model_validate(raw)


CANARY = policy(strategy="Canary", canary={"steps": [{"pause": {"duration": "5m"}}, {"setWeight": 5}, {"pause": {}}, {"setWeight": 50}]})


def test_steps_are_weights_and_pauses() -> None:
    assert steps_of(CANARY) == (Wait(300.0), SetWeight(5), Wait(None), SetWeight(50))


@pytest.mark.parametrize(("step", "weight"), [(0, 0), (1, 5), (2, 5), (3, 50), (4, 100), (9, 100)])
def test_a_weight_holds_until_the_next_one(step: int, weight: int) -> None:
    assert goal(steps_of(CANARY), step) == weight


def test_a_candidate_warms_up_for_its_first_weight() -> None:
    assert [next_goal(steps_of(CANARY), step) for step in range(5)] == [5, 5, 5, 50, 100]


@pytest.mark.parametrize(
    ("raw", "steps", "gates"),
    [
        ({"strategy": "BlueGreen"}, (), True),
        ({"strategy": "BlueGreen", "blueGreen": {"autoPromote": True}}, (), True),
        ({"strategy": "BlueGreen", "blueGreen": {"autoPromote": False}}, (Wait(None),), True),
        ({"strategy": "Immediate"}, (), False),
    ],
)
def test_the_other_strategies_are_presets(raw: dict[str, Any], steps: tuple[Any, ...], gates: bool) -> None:
    assert (steps_of(policy(**raw)), has_gates(policy(**raw))) == (steps, gates)
