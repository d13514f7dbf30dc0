"""The steps of a rollout: weights and pauses, walked in order. Every strategy is a list of these steps. Pure.

`step` counts the steps that are done. Step `n`, as people and the verb `promote` count, is the one at index `n - 1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from rag_operator.api.v1alpha1.rollout import Canary, Step

WHOLE = 100


@dataclass(frozen=True)
class SetWeight:
    """The candidate's share of the traffic from here on."""

    weight: int


@dataclass(frozen=True)
class Wait:
    """A pause; without `seconds` until somebody approves."""

    seconds: float | None = None


Stage = SetWeight | Wait


def stages(canary: Canary) -> tuple[Stage, ...]:
    """Return the steps of a canary."""
    return tuple(_stage(step) for step in canary.steps)


def _stage(step: Step) -> Stage:
    if step.set_weight is not None:
        return SetWeight(step.set_weight)
    duration = step.pause.duration if step.pause else None
    return Wait(duration.seconds if duration else None)


def goal(steps: tuple[Stage, ...], step: int) -> int:
    """Return the weight that belongs to a position: of the last weight reached, all when every step is done."""
    if step >= len(steps):
        return WHOLE
    return _weights(steps)[step]


def next_goal(steps: tuple[Stage, ...], step: int) -> int:
    """Return the weight to warm up for: the present one, or before the first one that one."""
    present = goal(steps, step)
    if present:
        return present
    return next((weight for weight in _weights(steps)[step:] if weight), WHOLE)


def _weights(steps: tuple[Stage, ...]) -> list[int]:
    # The weight in force at each step.
    return list(accumulate((step.weight if isinstance(step, SetWeight) else 0 for step in steps), max))
