"""Helm against a real API server in which no pod runs: what installing, upgrading and removing the chart leaves there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.api_only import ApiServer
from cluster.tools import binary
from doubles.manifests import BASE
from rag_operator import names

CHART = Path(__file__).parents[3] / "charts" / "rag-operator"


@pytest.fixture(scope="module")
def empty() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


def helm(server: ApiServer, *arguments: str) -> str:
    command = [str(binary("helm")), f"--kubeconfig={server.kubeconfig}", "--namespace=rag-system", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_release_is_installed_upgraded_and_removed_and_users_keep_what_is_theirs(empty: ApiServer) -> None:
    assert "looks after all namespaces" in helm(empty, "install", "rag", str(CHART), "--create-namespace")
    empty.wait_listed("ragpipelines,ragindexes")
    pipeline = {
        "apiVersion": names.API_VERSION,
        "kind": names.PIPELINE_KIND,
        "metadata": {"name": "handbook", "namespace": "default"},
        "spec": yaml.safe_load(BASE),
    }
    empty.kubectl("apply", "-f", "-", stdin=json.dumps(pipeline))

    helm(empty, "upgrade", "rag", str(CHART), "--set", "replicaCount=3")
    assert json.loads(empty.kubectl("-n", "rag-system", "get", "deployment", "rag", "-o", "json"))["spec"]["replicas"] == 3

    # The hook is a pod, and none runs here: the test in the real cluster has it.
    helm(empty, "uninstall", "rag", "--no-hooks")
    assert empty.kubectl("-n", "rag-system", "get", "deployments,serviceaccounts,roles,services", "-o", "name").split() == []
    left = empty.kubectl("get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=rag-operator", "-o", "name")
    assert left.split() == []
    assert empty.kubectl("get", "ragpipeline", "handbook", "-o", "name").strip() == "ragpipeline.ragops.dev/handbook"

    helm(empty, "install", "rag", str(CHART))
    assert empty.kubectl("get", "ragpipeline", "handbook", "-o", "name").strip() == "ragpipeline.ragops.dev/handbook"


def test_an_editor_of_a_namespace_may_write_pipelines_and_a_viewer_may_look(empty: ApiServer) -> None:
    """The rules are those of the chart's roles; aggregating them to `edit` and `view` is the controller manager's work."""
    for role, verb, allowed in (
        ("editor", "create", "yes"),
        ("viewer", "create", "no"),
        ("viewer", "list", "yes"),
        ("editor", "list", "no"),
    ):
        found = json.loads(empty.kubectl("get", "clusterrole", f"rag-system-rag-{role}", "-o", "json"))
        verbs = {one for rule in found["rules"] if names.PIPELINES in rule["resources"] for one in rule["verbs"]}
        assert ("yes" if verb in verbs else "no") == allowed, (role, verb)
