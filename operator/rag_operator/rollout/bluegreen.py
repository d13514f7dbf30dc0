"""BlueGreen and Immediate as presets of the canary's steps, and the choice of steps for a policy. Pure."""

from __future__ import annotations

from rag_operator.api.v1alpha1.rollout import Rollout as Policy
from rag_operator.rollout.canary import Stage, Wait, stages


def steps_of(policy: Policy) -> tuple[Stage, ...]:
    """Return the steps of a policy. After the last one the candidate gets everything."""
    if policy.canary is not None:
        return stages(policy.canary)
    if policy.strategy == "BlueGreen" and policy.blue_green is not None and not policy.blue_green.auto_promote:
        return (Wait(),)
    return ()


def has_gates(policy: Policy) -> bool:
    """Whether the strategy looks at gates at all: Immediate moves traffic as soon as the candidate is ready."""
    return policy.strategy != "Immediate"
