"""What deleting a pipeline sends, to a server that merges and refuses as the real one does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from doubles.manifests import OWNER, TEMPLATES, merged, revision_of, spec_of
from doubles.seen import seen_of
from rag_operator import errors, names
from rag_operator.api.v1alpha1.index_status import Work
from rag_operator.controller.deletion import Means, dismantle
from rag_operator.controller.mirror import Mirror
from rag_operator.controller.observe import Seen
from rag_operator.controller.writer import Writer
from rag_operator.desired import indexer
from rag_operator.desired.context import IndexIntent, Surroundings
from rag_operator.desired.meta import metadata
from rag_operator.kube.apply import stamped
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import INDEXES, JOBS, PIPELINES, Resource
from rag_operator.rollout.identity import declared_index

EXTERNAL = {"milvus": {"external": {"address": "milvus.example:19530"}, "standalone": None}}
SPEC = spec_of(vectorStore=EXTERNAL, deletionPolicy="Delete")
REVISION = revision_of(SPEC)
NOW = 1_800_000_000.0


class Server:
    """Has one index, and makes what it is told to."""

    def __init__(self, index: dict[str, Any]) -> None:
        self.index = index
        self.deletions: list[str] = []
        self.moved_to = "9"  # the version of what was looked at before
        self.released: list[str] | None = None

    async def patch(self, resource: Resource, _: str, __: str, change: dict[str, Any]) -> dict[str, Any]:
        if resource is PIPELINES:
            self.released = change["metadata"]["finalizers"]
            return change
        self.index = merged(self.index, change)
        Work.model_validate(self.index["spec"]["work"])
        return self.index

    async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return merged(manifest, {"metadata": {"uid": "u", "resourceVersion": "8"}})

    create = apply

    async def delete(self, resource: Resource, _: str, name: str, *, uid: str, version: str = "") -> None:
        self.deletions.append(f"{resource.kind} {name}")
        if version and version != self.moved_to:
            raise errors.Conflict(f"failed to delete {name}: it changed", status=409)


class Listener:
    """Hears what is announced."""

    def __init__(self) -> None:
        self.announced: list[str] = []

    async def say_of_deletion(self, *_: object) -> None:
        """Status is not looked at here."""

    async def announce(self, _: Seen, reason: str, message: str, __: float) -> None:
        self.announced.append(f"{reason}: {message}")


def an_index(work: dict[str, Any]) -> dict[str, Any]:
    manifest = indexer.index(OWNER, REVISION, SPEC, IndexIntent(declared_index(SPEC), Work.model_validate(work)))
    return merged(stamped(manifest), {"metadata": {"uid": "u", "resourceVersion": "7"}})


def deleted(server: Server, *more: Child) -> Seen:
    seen = seen_of(SPEC, [reduce(INDEXES, server.index), *more])
    seen.body["metadata"] |= {"finalizers": [names.FINALIZER], "deletionTimestamp": "2027-01-15T08:00:00Z", "resourceVersion": "5"}
    return seen


def means(server: Server, listener: Listener | None = None) -> Means:
    writer = Writer(server, Mirror())  # type: ignore[arg-type]
    return Means(writer, listener or Listener(), TEMPLATES, Surroundings(cluster="c"), NOW, 600.0)  # type: ignore[arg-type]


async def test_an_index_that_is_being_copied_is_dropped_all_the_same() -> None:
    server = Server(an_index({"mode": "Copy", "attempt": 1, "from": {"index": "other", "collection": "rag_1_2", "dimensions": 384}}))
    assert await dismantle(means(server), deleted(server)) is not None
    assert (server.index["spec"]["work"], server.index["spec"]["collecting"]) == ({"mode": "Drop", "attempt": 2}, True)


async def test_a_drop_s_job_that_still_reports_is_deleted_once() -> None:
    """Its pod tells that the collections are gone before it ends, so its status changes just when it is to go."""
    index = {**an_index({"mode": "Drop", "attempt": 1}), "status": {"completed": {"mode": "Drop", "attempt": 1}}}
    name = f"{REVISION.index.name}-drop-1"
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(OWNER, name, names.KIND_INDEXER, REVISION.index.name)}
    job["metadata"] = {**stamped(job)["metadata"], "ownerReferences": [], "uid": "j", "resourceVersion": "8"}
    server = Server(index)
    assert await dismantle(means(server), deleted(server, reduce(JOBS, job))) is None
    assert (server.deletions, server.released) == ([f"Job {name}"], [])


async def test_data_that_stay_because_nobody_can_read_the_spec_are_named() -> None:
    server, listener = Server(an_index({"mode": "Sync", "attempt": 1})), Listener()
    assert await dismantle(means(server, listener), replace(deleted(server), spec=None)) is None
    assert listener.announced == [f"CollectionsLeftBehind: not dropped, and nobody will: {REVISION.collection}"]
    assert server.released == []
