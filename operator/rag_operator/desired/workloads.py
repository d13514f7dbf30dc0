"""Deployments of components that serve: they surge before anything is taken away."""

from __future__ import annotations

from collections.abc import Mapping

from rag_operator import names
from rag_operator.desired.context import Manifest, Owner
from rag_operator.desired.meta import metadata
from rag_operator.model.revision import Component

SURGE_FIRST = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
ONE_AT_A_TIME = {"type": "Recreate"}


def deployment(
    owner: Owner,
    name: str,
    kind: str,
    component: str | None,
    template: Manifest,
    *,
    replicas: int | None,
    annotations: Mapping[str, str] | None = None,
    strategy: Manifest | None = None,
    progress_deadline: int = 600,
) -> Manifest:
    """A Deployment. `replicas=None`: an autoscaler's field, so it is in no manifest of ours."""
    spec: Manifest = {
        "selector": {"matchLabels": names.selector(owner.name, kind, component)},
        "strategy": strategy or SURGE_FIRST,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": progress_deadline,
        "template": template,
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(owner, name, kind, component, annotations=annotations),
        "spec": spec,
    }


def of_component(owner: Owner, component: Component, template: Manifest, *, replicas: int | None, progress_deadline: int) -> Manifest:
    """The Deployment of a component, which carries its whole digest: a name has ten characters of it."""
    name, digest = component.name, {names.ANNOTATION_DIGEST: component.digest}
    return deployment(
        owner, name, component.kind, name, template, replicas=replicas, annotations=digest, progress_deadline=progress_deadline
    )
