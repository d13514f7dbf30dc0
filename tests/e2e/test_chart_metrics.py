"""The adapter rules that the chart gives away, in the cluster's own adapter: what autoscalers of embedders and generators read."""

from __future__ import annotations

import json
from urllib.parse import quote

import yaml

from cluster.addons import ADAPTER_RULES
from cluster.commands import ClusterError
from cluster.processes import wait_until
from doubles.manifests import revision_of, spec_of, wanted_of
from e2e.cluster_manifests import deployment
from e2e.namespaces import Namespace
from rag_operator import names
from rag_operator.controller.parts import parts
from rag_operator.desired.children import children
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.kube.child import reduce
from rag_operator.kube.resources import AUTOSCALERS
from rag_operator.status.situation import Part

SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
SET = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/', data=b'{}')"
AUTOSCALED = {"autoscaling": {"minReplicas": 1, "maxReplicas": 3, "targetQueueLength": 50}}
RUNNING_AND_WAITING = 'vllm:num_requests_waiting{model_name="m"} 3\nvllm:num_requests_running{model_name="m"}'
LANES = 'queue_length{queue="embedding",lane="bulk"} 900\nqueue_length{queue="embedding",lane="query"}'


def autoscalers(namespace: Namespace) -> dict[str, Manifest]:
    """What the operator writes, by the kind it is for."""
    generator = {"vllm": {"model": {"name": "m", "revision": "1", "source": {"image": {"reference": "a:1"}}}, **AUTOSCALED}}
    revision = revision_of(spec_of(embedder={"local": AUTOSCALED}, generator=generator))
    found = children(Owner("handbook", namespace.name, "u"), wanted_of(revision), Surroundings())
    return {one["metadata"]["labels"][names.LABEL_KIND]: one for one in found if one["kind"] == "HorizontalPodAutoscaler"}


def value(namespace: Namespace, autoscaler: Manifest) -> str | None:
    """The metric as the autoscaler asks for it."""
    labels = autoscaler["spec"]["metrics"][0]["external"]["metric"]["selector"]["matchLabels"]
    selector = quote(",".join(f"{name}={wanted}" for name, wanted in labels.items()))
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace.name}/queue_length?labelSelector={selector}"
    try:
        items = json.loads(namespace.kubectl("get", "--raw", path))["items"]
    except ClusterError:
        return None  # nobody has exported it so far
    return str(items[0]["value"]) if items else None


def told(namespace: Namespace, name: str) -> Part:
    """What the operator says of the autoscaler as it is."""
    found = reduce(AUTOSCALERS, namespace.get("horizontalpodautoscaler", name))
    return parts("handbook", spec_of(), {(found.kind, found.name): found}, ())["Scaling"]


def report(namespace: Namespace, app: str, number: object) -> None:
    """Every pod says this number."""
    for pod in namespace.kubectl("get", "pods", "-l", f"app={app}", "-o", "jsonpath={.items[*].metadata.name}").split():
        namespace.run_python(pod, SET.format(number))


def serve(namespace: Namespace, app: str, autoscaler: Manifest, exported: str, number: int, *, autoscaled: bool = False) -> None:
    """One pod exports this number as what the autoscaler asks for; with `autoscaled` the autoscaler is there, too, and acts on it."""
    workload = deployment(app, None if autoscaled else 1, autoscaler["metadata"]["labels"], SCRAPED, {"METRIC": exported})
    namespace.apply(workload, *([autoscaler] if autoscaled else ()))
    namespace.kubectl("rollout", "status", f"deployment/{app}", "--timeout=120s", timeout=150)
    report(namespace, app, number)


def test_the_cluster_s_adapter_uses_the_rules_that_the_chart_gives_away(namespace: Namespace) -> None:
    used = json.loads(namespace.cluster.kubectl("-n", "monitoring", "get", "configmap", "prometheus-adapter", "-o", "json"))
    assert yaml.safe_load(used["data"]["config.yaml"]) == yaml.safe_load(ADAPTER_RULES.read_text())


def test_the_queue_of_vllm_is_what_waits_and_what_runs(namespace: Namespace) -> None:
    wanted = autoscalers(namespace)["generator"]
    serve(namespace, "generator", wanted, RUNNING_AND_WAITING, 4)
    wait_until(lambda: value(namespace, wanted) == "7", 90, "three waiting and four running requests")


def test_an_embedder_with_traffic_is_judged_by_its_queries_and_not_by_what_it_indexes(namespace: Namespace) -> None:
    wanted = autoscalers(namespace)["embedder"]
    serve(namespace, "embedder", wanted, LANES, 5)
    wait_until(lambda: value(namespace, wanted) == "5", 90, "the query lane alone")


def test_a_pod_cannot_speak_for_another_component(namespace: Namespace) -> None:
    victim = autoscalers(namespace)["embedder"]
    component = victim["metadata"]["name"]
    forged = f'queue_length{{queue="embedding",lane="query",component="{component}",pipeline="handbook"}}'
    own = {**victim, "metadata": {"name": "forger", "labels": {names.LABEL_PIPELINE: "handbook", names.LABEL_COMPONENT: "forger"}}}
    serve(namespace, "forger", own, forged, 999)
    theirs = {"metadata": {}, "spec": json.loads(json.dumps(victim["spec"]).replace(component, "forger"))}
    wait_until(lambda: value(namespace, theirs) == "999", 90, "the forger's metric, under its own name")
    assert value(namespace, victim) is None


def test_a_queue_that_is_no_number_takes_no_replica_away_and_is_told(namespace: Namespace) -> None:
    scaler = autoscalers(namespace)["embedder"]
    scaler["metadata"].pop("ownerReferences")
    name = scaler["metadata"]["name"]
    serve(namespace, name, scaler, LANES, 100, autoscaled=True)
    wait_until(lambda: namespace.get("deployment", name)["status"].get("readyReplicas") == 2, 120, "a second pod")
    wait_until(lambda: told(namespace, name).ready is True, 60, "an autoscaler that reads its metric")
    report(namespace, name, "NaN")
    wait_until(lambda: told(namespace, name).ready is False, 120, "an autoscaler that says it cannot read it")
    assert told(namespace, name).reason == "FailedGetExternalMetric"
    assert name in told(namespace, name).message
    assert namespace.get("deployment", name)["spec"]["replicas"] == 2
    report(namespace, name, 75)
    wait_until(lambda: told(namespace, name).ready is True, 120, "an autoscaler that reads it again")
