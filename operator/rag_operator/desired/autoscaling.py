"""Autoscalers: replicas follow the length of the queue, waiting and running work together."""

from __future__ import annotations

from typing import Literal

from rag_operator.desired.context import Manifest, Owner
from rag_operator.desired.meta import metadata
from rag_operator.desired.sizing import Size
from rag_runtime.contracts import headers, metrics

Lane = Literal["query", "bulk"]


def lane(weight: int) -> Lane:
    """The lane that decides an embedder's size: questions as soon as a revision with weight uses it, else what it builds."""
    return headers.LANE_QUERY if weight > 0 else headers.LANE_BULK  # type: ignore[return-value]


def autoscaler(owner: Owner, kind: str, component: str, size: Size, *, queue: str, lane: Lane | None = None) -> Manifest | None:
    """The autoscaler of a component's Deployment; `None` where its size is fixed or it sleeps."""
    wanted = size.autoscaling
    if wanted is None:
        return None
    selector = {"queue": queue, "pipeline": owner.name, "component": component, **({"lane": lane} if lane else {})}
    target = {"type": "AverageValue", "averageValue": str(wanted.target_queue_length)}
    window = int(wanted.scale_down_window.seconds)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(owner, component, kind, component),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": component},
            "minReplicas": size.minimum,
            "maxReplicas": wanted.max_replicas,
            "metrics": [
                {
                    "type": "External",
                    "external": {"metric": {"name": metrics.QUEUE_LENGTH, "selector": {"matchLabels": selector}}, "target": target},
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": window}},
        },
    }
