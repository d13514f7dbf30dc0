"""RAGIndex: what the operator writes from its models is accepted whole, and what must never change cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.client import ApiClient
from api.manifests import base, edited
from rag_operator import names
from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.index import EmbedderAccess, MilvusAccess, PipelineRef, RAGIndexSpec, RAGIndexStatus, Work
from rag_operator.api.v1alpha1.index_status import Build, EvaluationResult, FailedDocument, Listing, Observed, SourceSync, Sync
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import (
    CandidateStatus,
    Condition,
    Decision,
    Freshness,
    Gate,
    LeavingStatus,
    RAGPipelineStatus,
    Rejected,
    RetiredStatus,
    Serving,
    Verb,
)
from rag_operator.rollout.identity import declared_index

NOW = Timestamp.from_seconds(1_790_000_000.25)


def index_spec() -> RAGIndexSpec:
    spec = RAGPipelineSpec.model_validate(base()["spec"])
    return RAGIndexSpec(
        pipeline_ref=PipelineRef(name="handbook", uid="0d6f3c1e-0000-4000-8000-000000000000"),
        identity=declared_index(spec, reindex="2026-01"),
        collection="rag_a81d0c22ff_7c9e6679",
        sources=spec.sources,
        embedder=EmbedderAccess(url="http://handbook-embedder-3f9c1a2b4d:8080/v1", model="acme/embed", dimensions=384),
        milvus=MilvusAccess(address="handbook-milvus:19530"),
        work=Work(mode="Build", attempt=1),
    )


def index(name: str = "handbook-index-a81d0c22ff") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": names.API_VERSION, "kind": names.INDEX_KIND, "metadata": metadata, "spec": index_spec().to_wire()}


def index_status() -> RAGIndexStatus:
    listing = Listing(id="docs-42", start_time=NOW, duration=1.5)
    numbers = {"questions": 225, "difference": -0.01, "low": -0.03, "high": 0.01}
    evaluation = EvaluationResult(id="e-1", stable="a", candidate="b", metric="nDCG@10", **numbers)
    return RAGIndexStatus(
        acknowledged=Work(mode="Build", attempt=1),
        completed=Work(mode="Build", attempt=1),
        build=Build(documents=10, chunks=40, total=12, failed=2, rate=3.5, start_time=NOW),
        sync=Sync(
            listing=listing,
            sources=(SourceSync(name="docs", listing=listing, documents=10),),
            documents=10,
            failed=(FailedDocument(id="docs/a.pdf", reason="encrypted"),),
            failed_count=2,
        ),
        observed=Observed(model_fingerprint="ab" * 32, probes="Equal", shards=1, index_type="HNSW", loaded=True),
        evaluations=(evaluation,),
        conditions=(Condition(type="Ready", status="True", reason="CaughtUp", last_transition_time=NOW),),
    )


def pipeline_status() -> RAGPipelineStatus:
    serving = {"revision": "5c2e9f0a11", "embedder": "handbook-embedder-3f9c1a2b4d", "index": "handbook-index-a81d0c22ff", "weight": 95}
    gate = Gate(
        name="Evaluation", result="Passed", metric="nDCG@10", stable=0.5, candidate=0.51, difference=0.02, numbers={"judged": 0.9}, time=NOW
    )
    return RAGPipelineStatus(
        observed_generation=3,
        phase="RollingOut",
        message="step 1 of 3: 5 % to 81ab07",
        stable=Serving(**serving, embedding_model="acme/embed@1.0 (384)", documents=1400, since=NOW),
        candidate=CandidateStatus(
            **serving, stage="Shifting", step=0, steps=3, gates=(gate,), approved=("0",), progress=1400, progress_since=NOW
        ),
        retired=RetiredStatus(**serving, until=NOW, floors={"handbook-embedder-3f9c1a2b4d": 2}),
        leaving=(LeavingStatus(revision="77b2e0", idle_at=NOW, why="superseded"),),
        traffic="95/5",
        step="1/3",
        gate=gate,
        documents=1400,
        freshness=Freshness(state="Fresh", failed_documents=2, failed=("docs/a.pdf: encrypted",)),
        endpoint="http://handbook-gateway.default.svc",
        epoch=41,
        salt="5f",
        rejected=(Rejected(revision="77b2e0aa00", reason="EvaluationFailed", time=NOW),),
        decisions=(Decision(time=NOW, revision="77b2e0aa00", outcome="Aborted", reason="EvaluationFailed", numbers={"difference": -0.4}),),
        verbs=(Verb(name="promote", value="5c2e9f0a11/1"),),
        conditions=(Condition(type="Ready", status="True", reason="Serving", observed_generation=3, last_transition_time=NOW),),
    )


@pytest.fixture
def stored(kube: ApiClient) -> Iterator[dict[str, Any]]:
    answer = kube.create(index(), dry_run=False)
    assert answer.accepted, answer.message
    yield answer.body
    kube.delete(answer.body)


def test_the_spec_that_the_operator_writes_comes_back_as_it_was_written(stored: dict[str, Any]) -> None:
    assert RAGIndexSpec.model_validate(stored["spec"]) == index_spec()
    assert stored["spec"] == index_spec().to_wire()


def test_the_status_that_indexers_write_comes_back_as_it_was_written(kube: ApiClient, stored: dict[str, Any]) -> None:
    answer = kube.update({**stored, "status": index_status().to_wire()}, subresource="/status")
    assert answer.accepted, answer.message
    assert answer.body["status"] == index_status().to_wire()
    assert RAGIndexStatus.model_validate(answer.body["status"]) == index_status()


def test_the_status_of_a_pipeline_comes_back_as_it_was_written(kube: ApiClient) -> None:
    pipeline = kube.create(base(), dry_run=False).body
    answer = kube.update({**pipeline, "status": pipeline_status().to_wire()}, subresource="/status")
    kube.delete(pipeline)
    assert answer.accepted, answer.message
    assert answer.body["status"] == pipeline_status().to_wire()
    assert RAGPipelineStatus.model_validate(answer.body["status"]) == pipeline_status()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"spec.collection": "rag_other_00000000"}, "identity and collection never change"),
        ({"spec.identity.layout.shards": 2}, "identity and collection never change"),
        ({"spec.work": {"mode": "Copy", "attempt": 2}}, "from belongs to mode Copy"),
        ({"spec.work": {"mode": "Rest", "attempt": 2}}, "Build"),
        ({"spec.pipelineRef": None}, "equired"),
    ],
    ids=["another collection", "another identity", "a copy from nowhere", "unknown work", "no pipeline"],
)
def test_a_wrong_change_of_an_index_is_refused(kube: ApiClient, stored: dict[str, Any], change: dict[str, Any], says: str) -> None:
    answer = kube.update(edited(stored, change))
    assert not answer.accepted
    assert says in answer.message


def test_an_index_that_is_being_collected_is_never_wanted_again(kube: ApiClient, stored: dict[str, Any]) -> None:
    collecting = kube.update(edited(stored, {"spec.collecting": True, "spec.work": {"mode": "Drop", "attempt": 1}}), dry_run=False)
    assert collecting.accepted, collecting.message
    answer = kube.update(edited(collecting.body, {"spec.collecting": False}))
    assert not answer.accepted
    assert "never wanted again" in answer.message


def test_an_index_may_be_given_other_work_and_other_sources(kube: ApiClient, stored: dict[str, Any]) -> None:
    change = {"spec.work": {"mode": "Sync", "attempt": 0}, "spec.sources[0].s3.bucket": "company-docs-eu"}
    answer = kube.update(edited(stored, change))
    assert answer.accepted, answer.message


def report(kube: ApiClient, manifest: dict[str, Any], manager: str, status: dict[str, Any]) -> None:
    """Apply what one of the index's writers says of it."""
    assert kube.kubectl is not None
    said = {**{key: manifest[key] for key in ("apiVersion", "kind", "metadata")}, "status": status}
    options = ("--server-side", "--force-conflicts", f"--field-manager={manager}", "--subresource=status", "-f", "-")
    kube.kubectl("apply", *options, stdin=json.dumps(said))


def test_a_work_is_taken_over_whole_when_another_manager_reports(kube: ApiClient) -> None:
    """A Job reports Copy with `from`, then the syncer Sync: a mixture of both would be refused."""
    manifest = index("handover-index-a81d0c22ff")
    assert kube.create(manifest, dry_run=False).accepted
    copied = {"mode": "Copy", "attempt": 1, "from": {"index": "other", "collection": "rag_other", "dimensions": 384}}
    for manager, work in (("rag-indexer-job", copied), ("rag-indexer", {"mode": "Sync", "attempt": 1})):
        report(kube, manifest, manager, {"acknowledged": work})
    assert kube.get(manifest)["status"]["acknowledged"] == {"mode": "Sync", "attempt": 1}
    assert kube.delete(manifest).accepted


def test_what_a_job_and_the_syncer_say_is_ignored_stands_side_by_side(kube: ApiClient) -> None:
    manifest = index("ignoring-index-a81d0c22ff")
    assert kube.create(manifest, dry_run=False).accepted
    report(kube, manifest, "rag-indexer-job", {"observed": {"ignored": ["shards"]}})
    for refused in (["replicas"], []):
        report(kube, manifest, "rag-indexer", {"observed": {"loaded": True, "ignored": refused}})
        assert set(kube.get(manifest)["status"]["observed"]["ignored"]) == {"shards", *refused}
    assert kube.delete(manifest).accepted


def test_a_source_that_was_removed_and_added_again_may_be_another_one_under_its_name(kube: ApiClient, stored: dict[str, Any]) -> None:
    """The pipeline allows both steps, and an operator that was away meanwhile sees them as one."""
    name = stored["spec"]["sources"][0]["name"]
    other = {"name": name, "git": {"url": "https://git.example.com/docs.git", "path": "content"}}
    for sources in ([other], [{"name": name, "s3": {"bucket": "company-docs", "prefix": "elsewhere/"}}]):
        answer = kube.update(edited(stored, {"spec.sources": sources}))
        assert answer.accepted, answer.message
