"""How many replicas the sides of a rollout need: the floors below which no autoscaler may go. Pure.

Before each weight the candidate is brought to that share of what stable runs. What stable ran while it had the traffic is
remembered, for it gets the traffic back when the rollout ends badly, and again when it is rolled back to.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from rag_operator.api.v1alpha1.embedder import LocalEmbedder
from rag_operator.api.v1alpha1.generator import Vllm
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.observed import ComponentState
from rag_operator.model.plan import Rollout, Settling
from rag_operator.rollout.canary import WHOLE
from rag_operator.rollout.situation import Situation

SCALED = ("embedder", "generator")
Workload = LocalEmbedder | Vllm


def running(situation: Situation, name: str, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return how many replicas a revision runs, by component; never fewer than it was seen to run `before`."""
    seen = {part.name: part.desired_replicas for part in situation.parts(name) if part.kind in SCALED}
    return {part: max(replicas, (before or {}).get(part, 0), 1) for part, replicas in seen.items()}


def highest(*floors: Mapping[str, int]) -> dict[str, int]:
    """Return the highest of several floors, by component."""
    named = dict.fromkeys(name for one in floors for name in one)
    return {name: max(one.get(name, 0) for one in floors) for name in named}


def settling(situation: Situation, name: str | None, floors: Mapping[str, int]) -> Settling:
    """Return what a revision that gets all the traffic goes on running, until its autoscalers have looked at nothing but that."""
    settings = situation.settings(name) if name is not None else None
    workloads = (_workload(settings, kind) for kind in SCALED)
    windows = [one.autoscaling.scale_down_window.seconds for one in workloads if one is not None and one.autoscaling is not None]
    return Settling(situation.now + max([situation.policy.abort_delay.seconds, *windows]), floors)


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
    workload = _workload(spec, kind)
    if workload is None:
        return 0
    return workload.autoscaling.max_replicas if workload.autoscaling else workload.replicas or 1


def _workload(spec: RAGPipelineSpec | None, kind: str) -> Workload | None:
    if spec is None or kind == "embedder":
        return spec.embedder.local if spec is not None else None
    return spec.generator.vllm if spec.generator is not None else None
