"""How many replicas the sides of a rollout need: the floors below which no autoscaler may go. Pure.

Before each weight the candidate is brought to that share of what stable runs. What stable ran while it had the traffic is
remembered, for it gets the traffic back when the rollout ends badly, and again when it is rolled back to.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.observed import ComponentState
from rag_operator.model.plan import Rollout
from rag_operator.rollout.canary import WHOLE
from rag_operator.rollout.situation import Situation

SCALED = ("embedder", "generator")


def running(situation: Situation, name: str, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return how many replicas a revision runs, by component; never fewer than it was seen to run `before`."""
    seen = {part.name: part.desired_replicas for part in situation.parts(name) if part.kind in SCALED}
    return {part: max(replicas, (before or {}).get(part, 0), 1) for part, replicas in seen.items()}


def floors(situation: Situation, rollout: Rollout, stable: str | None, weight: int) -> dict[str, int]:
    """Return the replicas that the candidate's own components need for a weight, by component."""
    if stable is None:
        return {}
    run = _by_kind(situation, stable, rollout.floors)
    settings = situation.settings(rollout.candidate)
    return {
        part.name: _share(run.get(part.kind, 1), weight, _ceiling(settings, part.kind))
        for part in situation.own_parts(rollout.candidate, stable)
        if part.kind in SCALED
    }


def lacking(situation: Situation, needed: Mapping[str, int]) -> ComponentState | None:
    """Return the first component that has fewer ready replicas than needed."""
    states = (situation.observed.state(name) for name in needed)
    return next((state for state in states if state and state.ready_replicas < needed[state.name]), None)


def _share(replicas: int, weight: int, ceiling: int) -> int:
    return min(ceiling, max(1, ceil(replicas * weight / WHOLE)))


def _by_kind(situation: Situation, stable: str, remembered: Mapping[str, int]) -> dict[str, int]:
    run = running(situation, stable, remembered)
    return {part.kind: run[part.name] for part in situation.parts(stable) if part.name in run}


def _ceiling(spec: RAGPipelineSpec | None, kind: str) -> int:
    # More than its own settings allow a candidate never gets, so nobody waits for it. Endpoints of others have no replicas.
    workload = None if spec is None else spec.embedder.local if kind == "embedder" else spec.generator.vllm if spec.generator else None
    if workload is None:
        return 0
    return workload.autoscaling.max_replicas if workload.autoscaling else workload.replicas or 1
