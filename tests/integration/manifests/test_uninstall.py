from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import yaml

from cluster.api_only import ApiServer
from doubles.manifests import BASE, built, revision_of, spec_of, wanted_of
from integration.manifests.conftest import as_list
from integration.operator.rights import bind
from rag_operator import names
from rag_operator.desired import permissions
from rag_operator.desired.context import Owner
from rag_operator.settings import Settings
from rag_operator.shell.uninstall import uninstall

SYSTEM = "uninstalling"
OTHER = "example.com/keep"


@pytest.fixture
def system(api: ApiServer) -> str:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "rag", "namespace": SYSTEM},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "rag"}},
            "template": {"metadata": {"labels": {"app": "rag"}}, "spec": {"containers": [{"name": "operator", "image": "a:1"}]}},
        },
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    api.kubectl(
        "apply",
        "-f",
        "-",
        stdin=as_list([namespace, deployment, pipeline("held", [names.FINALIZER, OTHER]), pipeline("free", []), index()]),
    )
    return SYSTEM


def pipeline(name: str, finalizers: list[str]) -> dict[str, Any]:
    place = {"name": name, "namespace": SYSTEM, "finalizers": finalizers}
    return {"apiVersion": names.API_VERSION, "kind": names.PIPELINE_KIND, "metadata": place, "spec": yaml.safe_load(BASE)}


def index() -> dict[str, Any]:
    """An index of an external store, as the operator makes it."""
    external = {"milvus": {"standalone": None, "external": {"address": "milvus.example:19530"}}}
    revision = revision_of(spec_of(vectorStore=external, deletionPolicy="Delete"), pipeline="held")
    found = built(wanted_of(revision), owner=Owner("held", SYSTEM, "6b2f0d4e-0000-4000-8000-000000000002"))
    return found["RAGIndex", revision.index.name]


def settings(api: ApiServer) -> Settings:
    return Settings(kubeconfig=str(api.kubeconfig), namespace=SYSTEM, lease_name="rag", retry_period=0.2)


def limited(api: ApiServer, *namespaces: str) -> Settings:
    """Settings of an operator that has rights in its own namespace alone."""
    user = "of-one-namespace"
    api.kubectl("apply", "-f", "-", stdin=as_list(bind(user, SYSTEM, (*permissions.OPERATOR, *permissions.leader("rag")))))
    api.wait_allowed(user, verb="list", group=names.GROUP, resource=names.INDEXES, namespace=SYSTEM)
    return settings(api).model_copy(update={"kubeconfig": str(api.kubeconfig_for(user)), "namespaces": namespaces})


def read(api: ApiServer, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(api.kubectl("-n", SYSTEM, "get", kind, name, "-o", "json"))
    return found


def test_the_operator_stops_and_pipelines_can_be_deleted_afterwards(api: ApiServer, system: str) -> None:
    assert asyncio.run(uninstall(settings(api), "rag")) == 1
    assert read(api, "deployment", "rag")["spec"]["replicas"] == 0
    assert read(api, "ragpipeline", "held")["metadata"]["finalizers"] == [OTHER]
    assert "finalizers" not in read(api, "ragpipeline", "free")["metadata"]
    assert "finalizers" not in read(api, "ragindex", index()["metadata"]["name"])["metadata"]
    assert asyncio.run(uninstall(settings(api), "rag")) == 0


def test_the_log_names_every_collection_that_nobody_will_drop_any_more(
    api: ApiServer, system: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "rag_operator.shell.uninstall"):
        asyncio.run(uninstall(settings(api), "rag"))
    said = {record.__dict__["object"]: record.__dict__.get("collection") for record in caplog.records if record.message == "released"}
    assert said == {"held": None, index()["metadata"]["name"]: index()["spec"]["collection"]}


def test_nothing_is_released_while_the_old_leader_may_still_write(api: ApiServer, system: str) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "rag", "namespace": SYSTEM},
        "spec": {"holderIdentity": "rag-0", "leaseDurationSeconds": 3600},
    }
    api.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=as_list([lease]))

    async def attempt() -> None:
        async with asyncio.timeout(2):
            await uninstall(settings(api), "rag")

    with pytest.raises(TimeoutError):
        asyncio.run(attempt())
    assert names.FINALIZER in read(api, "ragpipeline", "held")["metadata"]["finalizers"]


def test_without_an_operator_pipelines_are_released_all_the_same(api: ApiServer, system: str) -> None:
    api.kubectl("-n", SYSTEM, "delete", "lease", "rag", "--ignore-not-found")
    assert asyncio.run(uninstall(settings(api), "gone")) == 1


def test_a_namespace_that_took_its_rights_along_is_named_and_the_others_are_released(
    api: ApiServer, system: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert asyncio.run(uninstall(limited(api, "gone", SYSTEM), "rag")) == 1
    assert read(api, "ragpipeline", "held")["metadata"]["finalizers"] == [OTHER]
    assert "finalizers" not in read(api, "ragindex", index()["metadata"]["name"])["metadata"]
    assert [record.__dict__["namespace"] for record in caplog.records if record.levelname == "WARNING"] == ["gone"]


def test_an_operator_whose_only_namespace_is_gone_can_be_removed(api: ApiServer, system: str, caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(uninstall(limited(api, "gone"), "rag")) == 0
    assert [record.__dict__["namespace"] for record in caplog.records if record.levelname == "WARNING"] == ["gone"]
