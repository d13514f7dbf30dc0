"""Removing the chart while a pipeline cannot be deleted: its external store is down, so its collections are waited for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml

from cluster.commands import ClusterError
from cluster.full import Cluster
from cluster.processes import wait_until
from doubles.manifests import BASE, merged
from e2e.namespaces import Namespace
from e2e.test_chart_install import CHART, DOCUMENTS, NAME, ROOT, SMALL, Installed, chart_values, remove_leftovers
from rag_operator import names

NOBODY = "nobody"  # a Service without pods: who connects is refused
ENOUGH = 120  # seconds for `helm uninstall`; the operator itself would wait for the store for fifteen minutes
KINDS = "ragpipelines,ragindexes"


def manifests(namespace: Namespace) -> list[dict[str, Any]]:
    """A pipeline that reaches neither its store nor its embedder: there is nothing but the gateway and the indexer to run."""
    ports = [{"name": "grpc", "port": 19530}, {"name": "http", "port": 80}]
    host = f"{NOBODY}.{namespace.name}.svc"
    change = {
        "embedder": {"local": None, "external": {"url": f"http://{host}/v1", "model": "any", "dimensions": 8, "revision": "1"}},
        "vectorStore": {"milvus": {"standalone": None, "external": {"address": f"{host}:19530"}}},
        "gateway": {"replicas": 1, "pod": SMALL},
        "indexer": {"pod": SMALL},
        "deletionPolicy": "Delete",
    }
    spec = merged(yaml.safe_load(BASE), change)
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NOBODY}, "spec": {"ports": ports}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "documents"}, "data": DOCUMENTS},
        {"apiVersion": names.API_VERSION, "kind": names.PIPELINE_KIND, "metadata": {"name": NAME}, "spec": spec},
    ]


@pytest.fixture
def installed(cluster: Cluster, namespace: Namespace) -> Iterator[Installed]:
    """A release of its own, for it is removed."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    release = Installed(namespace, chart_values(cluster, namespace.name))
    try:
        release.helm("install", "rag", str(CHART), "--values=-", values=release.values)
        namespace.kubectl("rollout", "status", "deployment/rag", "--timeout=120s", timeout=150)
        yield release
    finally:
        print(namespace.kubectl("get", f"{KINDS},pods,jobs,events"))
        let_go(namespace)
        remove_leftovers(cluster, f"{namespace.name}-rag")


def let_go(namespace: Namespace) -> None:
    """What docs/install.md says for a hook that did not run: otherwise the namespace of a test that failed would never go."""
    namespace.kubectl("delete", "deployment", "rag", "--cascade=foreground", "--ignore-not-found")
    for name in namespace.kubectl("get", KINDS, "-o", "name").split():
        with suppress(ClusterError):  # it went with its pipeline
            namespace.kubectl("patch", name, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))


def objects(namespace: Namespace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(namespace.kubectl("get", KINDS, "-o", "json"))["items"]
    return found


def held(namespace: Namespace) -> dict[tuple[str, str], str | None]:
    """Kind and name of everything with our finalizer, and the collection that it names."""
    ours = [one for one in objects(namespace) if names.FINALIZER in one["metadata"].get("finalizers", ())]
    return {(one["kind"], one["metadata"]["name"]): one["spec"].get("collection") for one in ours}


def is_being_dropped(namespace: Namespace) -> bool:
    return "-drop-" in namespace.kubectl("get", "jobs", "-o", "name")


def uninstalled(installed: Installed) -> tuple[str, float]:
    """Remove the release; all that helm shows, its hook's words among it, and how many seconds it took."""
    began = time.monotonic()
    return installed.helm("uninstall", "rag", f"--timeout={ENOUGH}s"), time.monotonic() - began


def test_uninstalling_lets_go_of_a_pipeline_that_waits_for_its_store_and_names_what_is_left(installed: Installed) -> None:
    namespace = installed.namespace
    namespace.apply(*manifests(namespace))
    wait_until(lambda: {kind for kind, _ in held(namespace)} == {"RAGPipeline", "RAGIndex"}, 60, "pipeline and index to be held")
    namespace.kubectl("delete", "ragpipeline", NAME, "--wait=false")
    wait_until(lambda: is_being_dropped(namespace), ENOUGH, "the collection to be dropped", 0.5)
    waiting = held(namespace)
    assert {kind for kind, _ in waiting} == {"RAGPipeline", "RAGIndex"}

    shown, seconds = uninstalled(installed)
    assert seconds < ENOUGH
    for (_, name), collection in waiting.items():
        assert name in shown
        assert collection is None or collection in shown, shown
    assert held(namespace) == {}
    assert not namespace.exists("deployment", "rag")
    wait_until(lambda: not objects(namespace), ENOUGH, "the pipeline and its index to be gone")
    left = namespace.kubectl("get", "jobs,pods,sa", "-l", f"ragops.dev/pipeline={NAME}")
    print(f"helm uninstall took {seconds:.0f} s, said: {shown}, and left: {left}")
