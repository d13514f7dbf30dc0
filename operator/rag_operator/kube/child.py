"""A child as the mirror keeps it: a few hundred bytes instead of a whole object, and all that a pass needs to know.

Facts stay JSON until somebody asks, and the field sets of many children are one object, because they hardly differ between pipelines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from rag_operator import names
from rag_operator.desired.credentials import Part, mounted
from rag_operator.kube import fields
from rag_operator.kube.resources import Resource

_NOTHING: Final = b"{}"
# Parts of a body, beside metadata, that passes look at; kinds that are not here have none.
_FACTS: Final[dict[str, tuple[str, ...]]] = {
    "ConfigMap": ("data",),
    "ControllerRevision": ("data", "revision"),
    "Deployment": ("status",),
    "HorizontalPodAutoscaler": ("status",),
    "Ingress": ("status",),
    "Job": ("status",),
    "Milvus": ("status",),
    "PersistentVolumeClaim": ("status",),
    "Pod": ("status",),
    "RAGIndex": ("spec", "status"),
    "Service": (),
    "StatefulSet": ("status",),
}
_MOUNTING: Final = ("Deployment", "Pod")
_interned: dict[bytes, dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Child:
    """One object that carries a pipeline's label."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: int  # resourceVersion: grows with every change
    labels: Mapping[str, str]
    owner: str | None  # UID of its controller
    intent: str  # hash of the manifest we applied last
    deleting: bool
    replicas: int | None  # wanted, of a workload
    generation: int
    created: str
    ours: Mapping[str, Any] = field(repr=False)  # our fieldsV1
    facts: bytes = field(repr=False, default=_NOTHING)
    annotations: Mapping[str, str] = field(repr=False, default_factory=dict)  # our own only
    applied: int = 0  # the generation that our last write made, 0 when that was another process; others raise it, too

    @property
    def pipeline(self) -> str:
        """Name of the pipeline that its label says."""
        return self.labels.get(names.LABEL_PIPELINE, "")

    @property
    def component(self) -> str:
        """Name of the component that its label says."""
        return self.labels.get(names.LABEL_COMPONENT, "")

    def body(self) -> dict[str, Any]:
        """The facts that were kept."""
        found: dict[str, Any] = orjson.loads(self.facts)
        return found

    def credentials(self) -> frozenset[Part]:
        """What it has of Secrets as files: a pod itself, a Deployment in its template."""
        return frozenset(Part(**part) for part in self.body().get("credentials") or ())

    def status(self) -> dict[str, Any]:
        """Its status, empty when there is none."""
        return self.body().get("status") or {}


Children = Mapping[tuple[str, str], Child]  # by kind and name


def reduce(resource: Resource, body: Mapping[str, Any]) -> Child:
    """What to keep of an object."""
    meta = body["metadata"]
    ours = fields.entry(body)
    kept = {key: body[key] for key in _FACTS.get(resource.kind, ()) if body.get(key) is not None}
    if resource.kind in _MOUNTING and (parts := mounted(_pod(body))):
        kept["credentials"] = parts
    return Child(
        kind=resource.kind,
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        labels={key: value for key, value in (meta.get("labels") or {}).items() if key.startswith(names.GROUP)},
        owner=controller(meta),
        intent=(meta.get("annotations") or {}).get(names.ANNOTATION_INTENT, ""),
        deleting="deletionTimestamp" in meta,
        replicas=(body.get("spec") or {}).get("replicas"),
        generation=meta.get("generation", 0),
        created=meta.get("creationTimestamp", ""),
        ours=_intern(ours),
        facts=orjson.dumps(kept) if kept else _NOTHING,
        annotations={key: value for key, value in (meta.get("annotations") or {}).items() if key.startswith(names.GROUP)},
    )


def _pod(body: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = body.get("spec") or {}
    return (spec["template"].get("spec") or {}) if "template" in spec else spec


def controller(meta: Mapping[str, Any]) -> str | None:
    """UID of the owner that controls the object."""
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def _intern(found: dict[str, Any]) -> dict[str, Any]:
    return _interned.setdefault(orjson.dumps(found, option=orjson.OPT_SORT_KEYS), found)
