"""The chart as a user installs it, in one namespace that enforces `restricted`: the whole story from install to uninstall, in order."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.commands import ClusterError
from cluster.full import Cluster
from cluster.processes import wait_until
from cluster.tools import binary
from doubles.manifests import BASE, merged
from e2e.namespaces import Namespace, has_service_account

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "rag-operator"
NAME = "handbook"
SMALL = {"resources": {"requests": {"cpu": "20m"}}}  # the node is shared with other tests
DOCUMENTS = {
    "travel.md": "# Travel\n\nA journey by train is booked in first class when it takes longer than four hours.",
    "leave.md": "# Leave\n\nEvery employee has thirty days of annual leave. Unused days expire in March.",
    "hardware.md": "# Hardware\n\nLaptops are replaced after four years, or earlier when the battery fails.",
}


@dataclass(frozen=True)
class Installed:
    """A release, the namespace it looks after, and the pipeline in it."""

    namespace: Namespace
    values: dict[str, Any]

    def helm(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        command = [
            str(binary("helm")),
            f"--kubeconfig={self.namespace.cluster.kubeconfig}",
            f"--namespace={self.namespace.name}",
            *arguments,
        ]
        given = yaml.safe_dump(values) if values is not None else None
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pods(self, selector: str) -> list[dict[str, Any]]:
        listed = json.loads(self.namespace.kubectl("get", "pods", "-l", selector, "-o", "json"))
        found: list[dict[str, Any]] = listed["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def pipeline(self) -> dict[str, Any]:
        return self.namespace.get("ragpipeline", NAME)

    def until_answering(self) -> None:
        """The API server learns a moment later than the operator which gateways are ready."""
        wait_until(self._answers, 60, "the first answer", 0.5)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("anything"))
        except ClusterError:
            return False

    def ask(self, question: str) -> dict[str, Any]:
        """Retrieve through the API server's own proxy, which reaches a Service on any cluster."""
        path = f"/api/v1/namespaces/{self.namespace.name}/services/{NAME}-gateway:http/proxy/v1/retrieve"
        body = json.dumps({"query": question, "k": 1})
        found: dict[str, Any] = json.loads(self.namespace.kubectl("create", "--raw", path, "-f", "-", stdin=body))
        return found


def chart_values(cluster: Cluster, namespace: str) -> dict[str, Any]:
    repository, _, tag = cluster.image("operator").rpartition(":")
    images = {kind: cluster.image(kind) for kind in ("embedder", "gateway", "indexer", "milvus")}
    return {
        "watch": {"namespaces": [namespace]},
        "crds": {"install": False},  # the cluster is shared with other tests, which bring the same ones
        "image": {"repository": repository, "tag": tag},
        "dataPlane": {"images": images},
        **SMALL,
    }


def manifests(cluster: Cluster) -> list[dict[str, Any]]:
    change = {
        "embedder": {"local": {"model": {"source": {"image": {"reference": cluster.image("models")}}}, "pod": SMALL}},
        "vectorStore": {"milvus": {"standalone": {"pod": SMALL}}},
        "gateway": {"replicas": 2, "pod": SMALL},
        "indexer": {"pod": SMALL},
    }
    spec = merged(yaml.safe_load(BASE), change)
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "documents"}, "data": DOCUMENTS},
        {"apiVersion": "ragops.dev/v1alpha1", "kind": "RAGPipeline", "metadata": {"name": NAME}, "spec": spec},
    ]


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Installed]:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    name = f"chart-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(place))
    namespace = Namespace(name, cluster)
    wait_until(lambda: has_service_account(cluster, name), 120, "the default service account")
    release = Installed(namespace, chart_values(cluster, name))
    try:
        release.helm("install", "rag", str(CHART), "--values=-", values=release.values)
        namespace.kubectl("rollout", "status", "deployment/rag", "--timeout=120s", timeout=150)
        namespace.apply(*manifests(cluster))
        wait_until(lambda: release.pipeline().get("status", {}).get("phase") == "Ready", 300, "the pipeline to be Ready", 1)
        release.until_answering()
        yield release
    except ClusterError:
        print(namespace.kubectl("get", "ragpipelines,ragindexes,pods,jobs,events"))
        raise
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")
        remove_leftovers(cluster, f"{name}-rag")


def remove_leftovers(cluster: Cluster, release: str) -> None:
    """What a test that failed leaves outside its namespace. By name: other releases in the cluster are somebody else's."""
    outside = [f"{release}-{part}" for part in ("discovery", "editor", "viewer")]
    cluster.kubectl("delete", "clusterrole", *outside, "--ignore-not-found")
    cluster.kubectl("delete", "clusterrolebinding", f"{release}-discovery", "--ignore-not-found")
    cluster.kubectl("-n", "default", "delete", "role,rolebinding", f"{release}-api-server", "--ignore-not-found")


def test_a_question_is_answered_from_the_right_document(installed: Installed) -> None:
    assert installed.ask("How many days of vacation do I get?")["results"][0]["document"] == "docs/leave.md"
    assert installed.ask("When do I get a new laptop?")["results"][0]["document"] == "docs/hardware.md"


def test_both_replicas_are_ready_and_one_of_them_leads(installed: Installed) -> None:
    names = {one["metadata"]["name"] for one in installed.pods("app.kubernetes.io/name=rag-operator")}
    assert len(names) == 2
    assert installed.namespace.get("lease", "rag")["spec"]["holderIdentity"] in names


def audit(installed: Installed) -> list[dict[str, Any]]:
    """Finished requests of ServiceAccounts of the namespace."""
    prefix = f"system:serviceaccount:{installed.namespace.name}:"
    with installed.namespace.cluster.audit_log.open() as lines:
        events = [json.loads(line) for line in lines if prefix in line and line.endswith("\n")]  # the last one may be half written
    return [one for one in events if one["user"]["username"].startswith(prefix)]


def account(event: dict[str, Any]) -> str:
    return str(event["user"]["username"]).rsplit(":", 1)[1]


@pytest.mark.own_cluster  # the audit log of somebody else's cluster cannot be read
def test_nobody_is_ever_refused_and_the_data_plane_uses_every_right_that_it_has(installed: Installed) -> None:
    events = audit(installed)
    refused = {(account(one), one["verb"], one["requestURI"]) for one in events if one.get("responseStatus", {}).get("code") == 403}
    assert not refused
    for name in (f"{NAME}-gateway", f"{NAME}-indexer"):
        used = {(resource(one["objectRef"]), one["verb"]) for one in events if account(one) == name and "objectRef" in one}
        rules = installed.namespace.get("role", name)["rules"]
        given = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
        assert used == given, name


def resource(reference: dict[str, Any]) -> str:
    return "/".join(filter(None, (reference["resource"], reference.get("subresource"))))


def identities(installed: Installed) -> dict[str, str]:
    """UID of every pod of the data plane."""
    pods = installed.pods(f"ragops.dev/pipeline={NAME}")
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in pods if one["status"]["phase"] == "Running"}


def test_an_upgrade_of_the_operator_restarts_no_pod_of_the_data_plane(installed: Installed) -> None:
    before, operators = identities(installed), {one["metadata"]["uid"] for one in installed.pods("app.kubernetes.io/name=rag-operator")}
    changed = merged(
        installed.values, {"podAnnotations": {"example.com/upgraded": "yes"}, "dataPlane": {"images": {"milvus": "milvusdb/milvus:v9"}}}
    )
    installed.helm("upgrade", "rag", str(CHART), "--values=-", values=changed)
    installed.namespace.kubectl("rollout", "status", "deployment/rag", "--timeout=120s", timeout=150)
    generation = annotate(installed)
    wait_until(
        lambda: installed.pipeline()["metadata"]["annotations"]["example.com/touched"] == generation, 30, "the pipeline to be touched"
    )
    after = {one["metadata"]["uid"] for one in installed.pods("app.kubernetes.io/name=rag-operator")}
    assert not operators & after
    wait_until(
        lambda: holder(installed) in {one["metadata"]["name"] for one in installed.pods("app.kubernetes.io/name=rag-operator")},
        40,
        "a leader",
    )
    assert identities(installed) == before


def annotate(installed: Installed) -> str:
    value = uuid.uuid4().hex[:6]
    installed.namespace.kubectl("annotate", "--overwrite", "ragpipeline", NAME, f"example.com/touched={value}")
    return value


def holder(installed: Installed) -> str:
    return str(installed.namespace.get("lease", "rag")["spec"].get("holderIdentity"))


def test_uninstalling_leaves_what_answers_and_hangs_nothing(installed: Installed) -> None:
    before = identities(installed)
    installed.helm("uninstall", "rag", "--timeout=120s")
    assert not installed.namespace.exists("deployment", "rag")
    assert installed.pipeline()["status"]["phase"] == "Ready"
    assert identities(installed) == before
    assert installed.ask("When do I get a new laptop?")["results"][0]["document"] == "docs/hardware.md"
    installed.namespace.kubectl("delete", "ragpipeline", NAME, "--timeout=60s")
    wait_until(lambda: not installed.pods(f"ragops.dev/pipeline={NAME}"), 120, "the pipeline's pods to go")
    assert installed.namespace.exists("pvc", f"{NAME}-milvus"), "the data of a retained store were deleted"
