"""A cluster of one pipeline for tests of the command line: it answers what the commands read and remembers what they write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from click.testing import Result

from rag_operator import errors
from rag_operator.cli.connect import Place, Session
from rag_operator.desired import revision_record
from rag_operator.desired.context import Owner
from rag_operator.kube.resources import CONTROLLER_REVISIONS, INDEXES, PIPELINES, Resource
from rag_operator.model.revision import Revision

Command = Callable[..., Result]
NAMESPACE = "search"
OWNER = Owner("handbook", NAMESPACE, "0000-uid")
STATUS: dict[str, Any] = {
    "phase": "RollingOut",
    "message": "pausing at 10 %",
    "traffic": "90/10",
    "step": "2/3",
    "endpoint": "http://handbook-gateway.search.svc",
    "stable": {"revision": "aaaaaaaaaa", "weight": 90, "index": "handbook-index-a", "documents": 1400, "embeddingModel": "acme/a@1 (384)"},
    "candidate": {
        "revision": "bbbbbbbbbb",
        "weight": 10,
        "index": "handbook-index-b",
        "documents": 700,
        "stage": "Shifting",
        "step": 1,
        "steps": 3,
        "held": "waiting for approval at 10 %",
        "waitingFor": "2",
        "gates": [{"name": "Evaluation", "result": "Passed", "message": "nDCG@10 0.320 → 0.500"}],
    },
    "retired": {"revision": "cccccccccc", "weight": 0, "until": "2026-01-02T00:00:00Z"},
    "decisions": [{"time": "2026-01-01T00:00:00Z", "revision": "aaaaaaaaaa", "outcome": "Promoted", "reason": "Done", "message": "done"}],
    "conditions": [
        {"type": "IndexFresh", "status": "False", "reason": "Stale", "message": "older", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ],
}
BUILD = {"build": {"documents": 700, "chunks": 2100, "total": 1400, "rate": 10.0, "startTime": "2026-01-01T00:00:00Z"}}


@dataclass
class FakeClient:
    """The few calls of `kube.client.Client` that commands make."""

    status: dict[str, Any] = field(default_factory=lambda: dict(STATUS))
    records: list[Revision] = field(default_factory=list)
    indexes: dict[str, dict[str, Any]] = field(default_factory=lambda: {"handbook-index-b": BUILD})
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)  # revision asked for -> answer
    annotations: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refuse: str = ""
    silent: bool = False
    suspended: bool = False
    empty: bool = False
    deleted: str = ""  # since when it is being deleted
    places: list[Place] = field(default_factory=list)  # where commands looked

    def _pipeline(self) -> dict[str, Any]:
        meta = {"name": "handbook", "namespace": NAMESPACE, "annotations": self.annotations}
        deletion = {"deletionTimestamp": self.deleted} if self.deleted else {}
        return {"metadata": {**meta, **deletion}, "spec": {"suspend": self.suspended}, "status": self.status}

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any] | None:
        return self._pipeline() if resource is PIPELINES and name == "handbook" else None

    async def list(self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        if resource is PIPELINES:
            return [] if self.empty else [self._pipeline()]
        if resource is INDEXES:
            return [{"metadata": {"name": name}, "status": status} for name, status in self.indexes.items()]
        assert resource is CONTROLLER_REVISIONS
        assert labels == "ragops.dev/pipeline=handbook,ragops.dev/kind=revision", "a StatefulSet has ControllerRevisions, too"
        return [revision_record.manifest(OWNER, revision, 1) for revision in self.records]

    async def patch(self, resource: Resource, namespace: str | None, name: str, change: Mapping[str, Any]) -> dict[str, Any]:
        assert set(change) == {"metadata"}, "a verb touches nothing but annotations"
        given: dict[str, str] = change["metadata"]["annotations"]
        self.annotations |= given
        for annotation, value in given.items() if not self.silent else ():
            verb = {
                "name": annotation.split("/")[1],
                "value": value[:512],
                "result": "Refused" if self.refuse else "Done",
                "message": self.refuse,
            }
            self.status = {**self.status, "verbs": [verb]}
        return self._pipeline()

    async def call(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        self.calls.append((path, dict(body)))
        key = (headers or {}).get("x-rag-revision", "")
        if key not in self.answers:
            raise errors.Unavailable("failed to POST: no endpoints available")
        return self.answers[key]

    @asynccontextmanager
    async def connect(self, place: Place) -> AsyncIterator[Session]:
        self.places.append(place)
        yield Session(self, place.namespace or NAMESPACE)  # type: ignore[arg-type]
