"""From a pod's gauge through Prometheus and the adapter to an autoscaler."""

from __future__ import annotations

import json
from collections.abc import Callable

from cluster.commands import ClusterError
from cluster.processes import wait_until
from e2e.cluster_manifests import autoscaler, deployment
from e2e.namespaces import Namespace

SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
SET = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/', data=b'{}')"


def set_gauge(namespace: Namespace, app: str, value: int) -> None:
    pods = namespace.kubectl("get", "pods", "-l", f"app={app}", "-o", "jsonpath={.items[0].metadata.name}")
    namespace.run_python(pods, SET.format(value))


def metric(namespace: Namespace, pipeline: str) -> list[str]:
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace.name}/queue_length"
    selector = f"labelSelector=pipeline%3D{pipeline}"
    try:
        answer = json.loads(namespace.kubectl("get", "--raw", f"{path}?{selector}"))
    except ClusterError as error:
        if "NotFound" not in str(error):
            raise
        return []  # nobody has exported it so far
    return [item["value"] for item in answer["items"]]


def replicas(namespace: Namespace, name: str) -> int:
    return int(namespace.get("deployment", name)["spec"]["replicas"])


def test_an_autoscaler_follows_the_gauge_of_a_pod_from_1_to_4_and_back(namespace: Namespace) -> None:
    labels = {"ragops.dev/pipeline": "handbook", "ragops.dev/component": "embedder-1"}
    namespace.apply(deployment("worker", None, labels, SCRAPED), autoscaler("worker", "handbook", minimum=1, maximum=6, target="50"))
    namespace.kubectl("rollout", "status", "deployment/worker", "--timeout=120s")
    wait_until(lambda: metric(namespace, "handbook") == ["0"], 120, "the metric to appear")
    set_gauge(namespace, "worker", 200)
    wait_until(lambda: replicas(namespace, "worker") == 4, 120, "four replicas")
    namespace.kubectl("rollout", "status", "deployment/worker", "--timeout=120s")
    for name in namespace.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split():
        namespace.run_python(name, SET.format(0))
    wait_until(lambda: replicas(namespace, "worker") == 1, 120, "one replica")


def test_a_pod_cannot_speak_for_another_namespace(make_namespace: Callable[..., Namespace]) -> None:
    victim, attacker = make_namespace(), make_namespace()
    labels = {"ragops.dev/pipeline": "handbook"}
    forged = f'queue_length{{namespace="{victim.name}",pipeline="handbook",pod="x"}}'
    attacker.apply(deployment("forger", 1, labels, SCRAPED, {"METRIC": forged}))
    attacker.kubectl("rollout", "status", "deployment/forger", "--timeout=120s")
    set_gauge(attacker, "forger", 999)
    wait_until(lambda: metric(attacker, "handbook") == ["999"], 120, "the forger's metric, under its own namespace")
    assert metric(victim, "handbook") == []
