"""What may change and what may not, asked of objects that are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.client import ApiClient
from api.manifests import base, edited

_CLUSTER = {
    "spec.vectorStore.milvus.standalone": None,
    "spec.vectorStore.milvus.cluster": {"objectStorage": {"inCluster": {"storage": "50Gi"}}, "etcd": {"storage": "5Gi"}},
}
_EXTERNAL = {"spec.vectorStore.milvus.standalone": None, "spec.vectorStore.milvus.external": {"address": "milvus:19530"}}
_GIT = {"spec.sources[0].s3": None, "spec.sources[0].git": {"url": "https://git.example/docs.git"}}
_SOURCES = {
    "spec.sources[1]": {"name": "files", "pvc": {"claimName": "files", "path": "a"}},
    "spec.sources[2]": {"name": "wiki", "git": {"url": "https://git.example/wiki.git", "path": "a"}},
}

_CACHED = {"spec.embedder.local.modelCache": {"size": "10Gi"}}

FORBIDDEN = [
    (
        "the kind of the store",
        {},
        _EXTERNAL,
        "spec.vectorStore.milvus",
        "the kind of the store cannot change: make a new RAGPipeline",
    ),
    (
        "the address of the store",
        _EXTERNAL,
        {"spec.vectorStore.milvus.external.address": "other:19530"},
        "spec.vectorStore.milvus.external.address",
        "cannot change: make a new RAGPipeline",
    ),
    (
        "the database of the store",
        _EXTERNAL,
        {"spec.vectorStore.milvus.external.database": "other"},
        "spec.vectorStore.milvus.external.address",
        "cannot change: make a new RAGPipeline",
    ),
    (
        "a smaller volume",
        {},
        {"spec.vectorStore.milvus.standalone.storage": "5Gi"},
        "spec.vectorStore.milvus.standalone.storage",
        "may grow and never shrinks",
    ),
    (
        "a smaller cache of weights",
        _CACHED,
        {"spec.embedder.local.modelCache.size": "5Gi"},
        "spec.embedder.local.modelCache.size",
        "size may grow and never shrinks: another storageClassName or accessMode makes a new volume",
    ),
    (
        "the volume's class",
        {},
        {"spec.vectorStore.milvus.standalone.storageClassName": "fast"},
        "spec.vectorStore.milvus.standalone.storageClassName",
        "storageClassName cannot change: make a new RAGPipeline",
    ),
    (
        "the etcd of a Milvus cluster",
        _CLUSTER,
        {"spec.vectorStore.milvus.cluster.etcd.storage": "6Gi"},
        "spec.vectorStore.milvus.cluster.etcd",
        "etcd cannot change: make a new RAGPipeline",
    ),
    (
        "the object storage of a Milvus cluster",
        _CLUSTER,
        {"spec.vectorStore.milvus.cluster.objectStorage": {"s3": {"bucket": "segments"}}},
        "spec.vectorStore.milvus.cluster.objectStorage",
        "objectStorage cannot change: make a new RAGPipeline",
    ),
    (
        "the kind of a source under its name",
        {},
        _GIT,
        "spec.sources[0]",
        "cannot change under its name: give the source a new name",
    ),
    (
        "the prefix of a bucket, which document ids are relative to",
        {},
        {"spec.sources[0].s3.prefix": "docs/"},
        "spec.sources[0].s3.prefix",
        "document ids are relative to prefix, so it cannot change: give the source a new name",
    ),
    (
        "the path in a volume, which document ids are relative to",
        _SOURCES,
        {"spec.sources[1].pvc.path": "b"},
        "spec.sources[1].pvc.path",
        "document ids are relative to path",
    ),
    (
        "the path in a repository, which document ids are relative to",
        _SOURCES,
        {"spec.sources[2].git.path": "b"},
        "spec.sources[2].git.path",
        "document ids are relative to path",
    ),
]
ALLOWED = [
    ("a larger volume", {}, {"spec.vectorStore.milvus.standalone.storage": "20Gi"}),
    ("a larger cache of weights", _CACHED, {"spec.embedder.local.modelCache.size": "20Gi"}),
    (
        "a smaller cache of another class",
        _CACHED,
        {"spec.embedder.local.modelCache": {"size": "5Gi", "storageClassName": "fast"}},
    ),
    (
        "a smaller cache of another access mode",
        _CACHED,
        {"spec.embedder.local.modelCache": {"size": "5Gi", "accessMode": "ReadWriteOnce"}},
    ),
    ("no cache of weights any more", _CACHED, {"spec.embedder.local.modelCache": None}),
    ("another model", {}, {"spec.embedder.local.model.name": "acme/other"}),
    ("another source beside the first", {}, {"spec.sources[1]": {"name": "notes", "configMap": {"name": "notes"}}}),
    ("a source under a new name", {}, {"spec.sources[0].name": "papers", "spec.sources[0].s3.prefix": "papers/"}),
    ("another bucket with the same paths", {}, {"spec.sources[0].s3.bucket": "company-docs-eu"}),
    ("another branch", _GIT, {"spec.sources[0].git.ref": "release"}),
    ("credentials for the store", _EXTERNAL, {"spec.vectorStore.milvus.external.credentialsSecretRef": {"name": "milvus"}}),
    ("no generator any more", {}, {"spec.generator": None}),
]


@pytest.fixture
def stored(kube: ApiClient, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    answer = kube.create(edited(base(), request.param), dry_run=False)
    assert answer.accepted, answer.message
    yield answer.body
    kube.delete(answer.body)


@pytest.mark.parametrize(
    ("stored", "change", "field", "says"), [case[1:] for case in FORBIDDEN], ids=[case[0] for case in FORBIDDEN], indirect=["stored"]
)
def test_what_cannot_change_is_refused_with_what_to_do_instead(
    kube: ApiClient, stored: dict[str, Any], change: dict[str, Any], field: str, says: str
) -> None:
    answer = kube.update(edited(stored, change))
    assert not answer.accepted
    assert says in answer.message
    assert field in answer.message


@pytest.mark.parametrize(("stored", "change"), [case[1:] for case in ALLOWED], ids=[case[0] for case in ALLOWED], indirect=["stored"])
def test_what_may_change_is_accepted(kube: ApiClient, stored: dict[str, Any], change: dict[str, Any]) -> None:
    answer = kube.update(edited(stored, change))
    assert answer.accepted, answer.message
