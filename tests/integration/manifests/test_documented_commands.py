"""The commands of the pages that install, remove and let go, typed as they stand there, against an API server in which no pod runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.api_only import ApiServer
from cluster.processes import wait_until
from demo.place import programs
from documented import register
from documented.pages import ROOT
from documented.shell import Shell
from doubles.manifests import BASE
from doubles.ragindex import manifest
from integration.manifests.conftest import as_list
from rag_operator import names

SYSTEM, RELEASE, SEARCH = "rag-system", "rag-operator", "search"
ELSEWHERE = "helm upgrade --install operator charts/rag-operator --namespace platform --create-namespace --take-ownership"
INSTALL = f"helm upgrade --install {RELEASE} charts/rag-operator --namespace {SYSTEM} --create-namespace"
DONE = "2026-01-01T00:00:00Z"


@pytest.fixture
def fresh() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def shell(fresh: ApiServer, tmp_path: Path) -> Shell:
    kubeconfig = tmp_path / "kubeconfig"
    shutil.copy(fresh.kubeconfig, kubeconfig)
    environment = {"KUBECONFIG": str(kubeconfig), "PATH": f"{programs()}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    return Shell(register.INSTALL, ROOT, environment)


def test_the_commands_of_the_pages_install_remove_and_let_go(fresh: ApiServer, shell: Shell) -> None:
    installing(fresh, shell)
    a_first_pipeline(fresh, shell)
    removing(fresh, shell)
    letting_go(fresh, shell)
    installing_elsewhere(fresh, shell)
    shell.run("kubectl apply --server-side -f crds/")
    shell.finish()


def installing(fresh: ApiServer, shell: Shell) -> None:
    assert "looks after all namespaces" in shell.run(INSTALL)
    fresh.wait_listed("ragpipelines,ragindexes")
    replicas = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2)
    report(fresh, f"deployment/{RELEASE}", {"observedGeneration": 1, **replicas})
    assert "successfully rolled out" in shell.run(f"kubectl -n {SYSTEM} rollout status deployment/{RELEASE}")


def report(fresh: ApiServer, what: str, status: dict[str, Any]) -> None:
    """Say what the controllers, which do not run here, would say."""
    fresh.kubectl("-n", SYSTEM, "patch", what, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def a_first_pipeline(fresh: ApiServer, shell: Shell) -> None:
    shell.run(f"kubectl create namespace {SEARCH}")
    assert "ragpipeline.ragops.dev/handbook created" in shell.run(f"kubectl apply -n {SEARCH} -f examples/minimal.yaml")
    assert "deleted" in shell.run("kubectl delete ragpipelines --all -A")
    assert fresh.kubectl("get", "ragpipelines", "-A", "-o", "name") == ""


def removing(fresh: ApiServer, shell: Shell) -> None:
    with ThreadPoolExecutor() as beside:
        removed = beside.submit(shell.run, f"helm uninstall {RELEASE} --namespace {SYSTEM}")
        hook = f"job/{RELEASE}-uninstall"
        wait_until(lambda: bool(fresh.kubectl("-n", SYSTEM, "get", hook, "-o", "name", "--ignore-not-found")), 60, "the hook", 0.2)
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": DONE} for kind in ("SuccessCriteriaMet", "Complete")]
        report(fresh, hook, {"conditions": conditions, "startTime": DONE, "completionTime": DONE, "succeeded": 1})
        assert "uninstalled" in removed.result()
    shell.run(INSTALL)
    shell.run(f"helm uninstall {RELEASE} --namespace {SYSTEM} --no-hooks")
    assert fresh.kubectl("-n", SYSTEM, "get", "deployments,services", "-o", "name") == ""
    assert names.PIPELINES in fresh.kubectl("get", "crd", "-o", "name")


def letting_go(fresh: ApiServer, shell: Shell) -> None:
    elsewhere = {"NAMESPACE": SEARCH}
    pipeline, indexes = (line for line in register.RUN_BY[register.INSTALL] if "NAMESPACE" in line)
    held(fresh)
    shell.run(pipeline, elsewhere)
    shell.run(indexes, elsewhere)
    assert fresh.kubectl("get", "ragpipelines,ragindexes", "-A", "-o", "name") == ""
    shell.environment = {**shell.environment, "KUBECONFIG": str(in_namespace(fresh, Path(shell.environment["KUBECONFIG"])))}
    held(fresh)
    shell.run(f"kubectl patch ragp handbook {register.LET_GO_SHORT}")
    shell.run(next(line for line in register.RUN_BY[register.INSTALL] if line.startswith("kubectl get ragi ")))
    assert fresh.kubectl("get", "ragpipelines,ragindexes", "-A", "-o", "name") == ""


def installing_elsewhere(fresh: ApiServer, shell: Shell) -> None:
    """The definitions of a release that is gone become another one's."""
    shell.run(ELSEWHERE)
    definition = json.loads(fresh.kubectl("get", "crd", f"{names.PIPELINES}.{names.GROUP}", "-o", "json"))
    assert definition["metadata"]["annotations"]["meta.helm.sh/release-name"] == "operator"


def held(fresh: ApiServer) -> None:
    """A pipeline and an index that are being deleted and wait for an operator that is gone."""
    place = {"name": "handbook", "namespace": SEARCH, "finalizers": [names.FINALIZER]}
    pipeline = {"apiVersion": names.API_VERSION, "kind": names.PIPELINE_KIND, "metadata": place, "spec": yaml.safe_load(BASE)}
    index = manifest("milvus:19530", "http://embedder", name="handbook-index-1")
    index["metadata"]["finalizers"] = [names.FINALIZER]
    fresh.kubectl("apply", "-f", "-", stdin=as_list([pipeline, index]))
    fresh.kubectl("-n", SEARCH, "delete", "ragpipeline/handbook", "ragindex/handbook-index-1", "--wait=false")


def in_namespace(fresh: ApiServer, kubeconfig: Path) -> Path:
    fresh.kubectl("--kubeconfig", str(kubeconfig), "config", "set-context", "--current", "--namespace", SEARCH)
    return kubeconfig
