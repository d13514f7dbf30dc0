"""How large a component is now: fixed, following its queue, or asleep. The one place that decides who owns `replicas`."""

from __future__ import annotations

from dataclasses import dataclass

from rag_operator.api.v1alpha1.pod import Autoscaling


@dataclass(frozen=True)
class Size:
    """`replicas` is `None` where an autoscaler owns it."""

    replicas: int | None
    minimum: int = 0
    autoscaling: Autoscaling | None = None


def size(replicas: int | None, autoscaling: Autoscaling | None, *, idle: bool = False, floor: int = 0) -> Size:
    """The size of a component. `floor`: what the rollout needs it to be able to carry at once."""
    if idle:
        return Size(0)
    if autoscaling is None:
        return Size(replicas or 1)
    minimum = min(max(autoscaling.min_replicas, floor), autoscaling.max_replicas)
    return Size(None, minimum, autoscaling)
