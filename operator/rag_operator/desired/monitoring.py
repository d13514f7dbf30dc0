"""PodMonitors, where prometheus-operator is installed. Plain Prometheus finds the pods by their annotations.

Labels that decide about scaling come from the scrape target, never from what a pod says of itself: `honorLabels: false`.
"""

from __future__ import annotations

from rag_operator import names
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.desired.meta import metadata
from rag_operator.desired.pods import METRICS
from rag_runtime.contracts import metrics

KINDS = (names.KIND_EMBEDDER, names.KIND_GENERATOR, names.KIND_GATEWAY, names.KIND_INDEXER, names.KIND_MILVUS)


def monitor(owner: Owner, surroundings: Surroundings) -> Manifest | None:
    """One monitor for all pods of a pipeline."""
    if not surroundings.pod_monitors:
        return None
    relabelings = [
        _label(names.LABEL_PIPELINE, "pipeline"),
        _label(names.LABEL_COMPONENT, "component"),
        _label(names.LABEL_KIND, "kind"),
        # vLLM's metrics do not say which queue they are about.
        {**_label(names.LABEL_KIND, "queue"), "regex": names.KIND_GENERATOR, "replacement": metrics.QUEUE_GENERATION},
    ]
    kinds = {"key": names.LABEL_KIND, "operator": "In", "values": list(KINDS)}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(owner, owner.name, names.KIND_ROUTING),
        "spec": {
            "selector": {"matchLabels": {names.LABEL_PIPELINE: owner.name}, "matchExpressions": [kinds]},
            "podMetricsEndpoints": [{"port": METRICS, "path": "/metrics", "honorLabels": False, "relabelings": relabelings}],
        },
    }


def _label(pod_label: str, target: str) -> Manifest:
    meta = "__meta_kubernetes_pod_label_" + "".join(character if character.isalnum() else "_" for character in pod_label)
    return {"action": "replace", "sourceLabels": [meta], "targetLabel": target}
