"""Metadata of children: names, labels, the controller reference."""

from __future__ import annotations

from collections.abc import Mapping

from rag_operator import names
from rag_operator.desired.context import Manifest, Owner


def controller_reference(owner: Owner) -> Manifest:
    """The reference by which the garbage collector and the pruner know a child."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.PIPELINE_KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(
    owner: Owner, name: str, kind: str, component: str | None = None, *, annotations: Mapping[str, str] | None = None, owned: bool = True
) -> Manifest:
    """Metadata of a child. `owned=False`: it outlives the pipeline."""
    found: Manifest = {"name": name, "namespace": owner.namespace, "labels": names.labels(owner.name, kind, component)}
    if annotations:
        found["annotations"] = dict(annotations)
    if owned:
        found["ownerReferences"] = [controller_reference(owner)]
    return found


def service(
    owner: Owner,
    name: str,
    kind: str,
    component: str | None,
    ports: Mapping[str, tuple[int, str]],
    *,
    service_type: str = "ClusterIP",
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A Service; `ports` maps a name to (port, name of the container's port)."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, name, kind, component, annotations=annotations),
        "spec": {
            "type": service_type,
            "selector": names.selector(owner.name, kind, component),
            "ports": [
                {"name": port_name, "port": port, "targetPort": target, "protocol": "TCP"} for port_name, (port, target) in ports.items()
            ],
        },
    }


def disruption_budget(owner: Owner, name: str, kind: str, component: str | None = None) -> Manifest:
    """One pod at a time may be evicted; a single replica does not block a drain for ever."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(owner, name, kind, component),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names.selector(owner.name, kind, component)},
            # A pod that is broken anyway may always be evicted, or a node could not be drained because of it.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
