"""What has to happen before collections of a pipeline that is deleted are dropped, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from doubles.manifests import OWNER, TEMPLATES, revision_of, spec_of
from doubles.seen import seen_of
from rag_operator import names
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.controller.dropping import Dropping, dropping, is_wanted, made_for_it, undropped
from rag_operator.controller.observe import Seen
from rag_operator.desired import indexer, jobs, revision_record
from rag_operator.desired.context import IndexIntent, Surroundings
from rag_operator.kube.apply import stamped
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import CONTROLLER_REVISIONS, DEPLOYMENTS, INDEXES, JOBS, PODS, Resource
from rag_operator.rollout.identity import declared_index

EXTERNAL = {"milvus": {"external": {"address": "milvus.example:19530", "credentialsSecretRef": {"name": "milvus"}}, "standalone": None}}
SPEC = spec_of(vectorStore=EXTERNAL, deletionPolicy="Delete")
REVISION = revision_of(SPEC)
INDEX = REVISION.index.name
NOW = 1_800_000_000.0


def stored(resource: Resource, manifest: Mapping[str, Any], **more: Any) -> Child:
    marked = stamped({"apiVersion": resource.api_version, "kind": resource.kind, **manifest})
    meta = {**marked["metadata"], "uid": marked["metadata"]["name"], "resourceVersion": "1", **more.pop("meta", {})}
    return reduce(resource, {**marked, **more, "metadata": meta})


def an_index(mode: str = "Sync", *, collecting: bool = False, **status: Any) -> Child:
    work = {"mode": mode, "attempt": 1}
    intent = IndexIntent(declared_index(SPEC), jobs.Work.model_validate(work), collecting=collecting)
    return stored(INDEXES, indexer.index(OWNER, REVISION, SPEC, intent), status=status)


def a_record() -> Child:
    return stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, REVISION, 1))


def of_indexers(resource: Resource, name: str, component: str = INDEX, **more: Any) -> Child:
    labels = names.labels(OWNER.name, names.KIND_INDEXER, component)
    return stored(resource, {"metadata": {"name": name, "namespace": OWNER.namespace, "labels": labels}}, **more)


def look(*children: Child, spec: RAGPipelineSpec | None = SPEC) -> Seen:
    return seen_of(spec, children)


def todo(*children: Child) -> Dropping:
    seen = look(*children)
    found = dropping(seen, undropped(seen), TEMPLATES, Surroundings(cluster="c"), NOW)
    assert found is not None
    return found


def test_what_is_left_is_what_stands_and_what_only_a_record_remembers() -> None:
    assert undropped(look(an_index())) == {INDEX: REVISION.collection}
    assert undropped(look(a_record())) == {INDEX: REVISION.collection}
    assert undropped(look(a_record(), an_index("Drop", completed={"mode": "Drop", "attempt": 1}))) == {}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [({}, True), ({"deletionPolicy": "Retain"}, False), ({"vectorStore": {"milvus": {"external": None, "standalone": {}}}}, False)],
)
def test_only_the_data_of_an_external_store_that_are_to_go_are_dropped(change: dict[str, Any], *, wanted: bool) -> None:
    assert is_wanted(look(spec=spec_of(**{"vectorStore": EXTERNAL, "deletionPolicy": "Delete", **change}))) is wanted


def test_a_spec_that_cannot_be_read_takes_nothing_away() -> None:
    seen = look(a_record(), spec=None)
    assert not is_wanted(seen)
    assert dropping(seen, {INDEX: "c"}, TEMPLATES, Surroundings(), NOW) is None


def test_the_syncer_and_unfinished_builds_are_stopped_and_their_pods_waited_for() -> None:
    syncer = of_indexers(DEPLOYMENTS, names.indexer(OWNER.name), names.KIND_INDEXER)
    build = of_indexers(JOBS, f"{INDEX}-build-1", status={"active": 1})
    old = of_indexers(JOBS, f"{INDEX}-build-0", status={"completionTime": "2026-01-01T00:00:00Z"})
    drop = of_indexers(JOBS, f"{INDEX}-drop-2", status={"active": 1})
    pods = [of_indexers(PODS, name, status={"phase": phase}) for name, phase in (("writes", "Running"), ("ended", "Succeeded"))]
    dropper = of_indexers(PODS, f"{INDEX}-drop-2-0-abcde", status={"phase": "Running"})
    found = todo(an_index(), syncer, build, old, drop, dropper, *pods)
    assert {child.name for child in found.writers} == {syncer.name, build.name}
    assert found.pods == ("writes",)
    assert "writes" in found.why


def test_every_index_is_marked_and_then_dropped_by_a_job_that_belongs_to_nobody() -> None:
    found = todo(an_index())
    ((child, work),) = found.marks
    assert (child.name, work.mode, work.attempt) == (INDEX, "Drop", 2)
    assert not any("ownerReferences" in manifest["metadata"] for manifest in found.manifests)
    assert [manifest["kind"] for manifest in found.manifests] == ["ServiceAccount", "Role", "RoleBinding", "Job"]
    assert todo(an_index("Drop", collecting=True)).marks == ()


def test_an_index_that_is_missing_is_made_again_to_be_dropped() -> None:
    made = {manifest["kind"]: manifest for manifest in todo(a_record()).manifests}
    assert made["RAGIndex"]["spec"]["collection"] == REVISION.collection
    assert (made["RAGIndex"]["spec"]["work"], made["RAGIndex"]["spec"]["collecting"]) == ({"mode": "Drop", "attempt": 1}, True)


@pytest.mark.parametrize(("ago", "attempt"), [(1, 1), (60, 2)])
def test_a_drop_that_failed_is_tried_again_after_a_while(ago: float, attempt: int) -> None:
    since = f"2027-01-15T07:{59 - int(ago) // 60:02}:{(60 - int(ago)) % 60:02}Z"  # NOW is eight o'clock
    failed = {"type": "Failed", "status": "True", "lastTransitionTime": since, "message": "no connection"}
    job = of_indexers(JOBS, f"{INDEX}-drop-1", status={"conditions": [failed]})
    found = todo(an_index("Drop", collecting=True), job)
    assert found.manifests[-1]["metadata"]["name"] == f"{INDEX}-drop-{attempt}"


def test_the_reason_of_a_failed_drop_is_told() -> None:
    failed = {"type": "Failed", "status": "True", "lastTransitionTime": "2027-01-15T07:59:59Z", "message": "no connection"}
    job = of_indexers(JOBS, f"{INDEX}-drop-1", status={"conditions": [failed]})
    assert todo(an_index("Drop", collecting=True), job).why == f"{INDEX} is being dropped: no connection"


def test_only_what_was_made_for_the_drop_is_taken_away_in_the_end() -> None:
    drop, build = of_indexers(JOBS, f"{INDEX}-drop-2"), of_indexers(JOBS, f"{INDEX}-build-1")
    assert [child.name for child in made_for_it(look(drop, build, an_index()))] == [drop.name]
