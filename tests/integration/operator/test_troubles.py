"""What the scheduler, the kubelet and others say of pods reaches the pipeline's status, soon and in words that help; then it heals."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.proxy import Do
from integration.operator.replica import Nursery
from integration.operator.scenario import NAME, Scenario, scenario
from integration.operator.waiting import until
from rag_operator import names
from rag_operator.kube.client import Object
from rag_operator.kube.resources import AUTOSCALERS, CONFIG_MAPS, DEPLOYMENTS, EVENTS, PODS
from rag_runtime.contracts.routing import TABLE_KEY, RoutingTable

# Without comparing, which would tell of anything in the end: what is told was told by an event, or by a look at what has none.
NEWS_ALONE: dict[str, object] = {"resync": 3600.0}
HEALTHY_WITHIN = 60.0


def unschedulable(message: str) -> dict[str, Any]:
    """The status of a pod that no node takes."""
    return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}


def waiting(reason: str, message: str = "", last: dict[str, Any] | None = None) -> dict[str, Any]:
    """The status of a pod whose container does not start, and how it ended `last`."""
    state = {"waiting": {"reason": reason, "message": message}}
    return _container(state, {"terminated": last} if last else {})


def _container(state: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    found = {
        "name": "main",
        "image": "registry.example/main:1",
        "imageID": "",
        "ready": False,
        "restartCount": 3,
        "state": state,
        "lastState": last,
    }
    return {"phase": "Pending", "containerStatuses": [found]}


def killed(reason: str, code: int, message: str = "") -> dict[str, Any]:
    """How a container ended."""
    return {"reason": reason, "exitCode": code, "message": message}


# What a spec asks for, what is then said of the pod, and what the status must tell of it.
TROUBLES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str]]] = {
    "an affinity that no node fits": (
        {"pod": {"nodeSelector": {"gpu": "none-such"}}},
        unschedulable("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."),
        ("Unschedulable", "didn't match Pod's node affinity"),
    ),
    "memory that no node has": (
        {"pod": {"resources": {"requests": {"memory": "900Ti"}, "limits": {"memory": "900Ti"}}}},
        unschedulable("0/3 nodes are available: 3 Insufficient memory."),
        ("Unschedulable", "Insufficient memory"),
    ),
    "an image that cannot be pulled": (
        {"pod": {"imagePullSecrets": [{"name": "none-such"}]}},
        waiting("ImagePullBackOff", 'Back-off pulling image "registry.example/main:1"'),
        ("ImagePullBackOff", "registry.example/main:1 cannot be pulled"),
    ),
    "a container that ends again and again": (
        {"pod": {"env": [{"name": "MODE", "value": "broken"}]}},
        waiting("CrashLoopBackOff", last=killed("Error", 1, "no such model file")),
        ("CrashLoopBackOff", "no such model file"),
    ),
    "too little memory": (
        {"pod": {"resources": {"limits": {"memory": "1Gi"}}}},
        waiting("CrashLoopBackOff", last=killed("OOMKilled", 137)),
        ("OOMKilled", "needed more memory than its limit"),
    ),
    "a Secret that is missing": (
        {"pod": {"labels": {"example.com/secret": "missing"}}},
        waiting("CreateContainerConfigError", 'secret "hub-token" not found'),
        ("CreateContainerConfigError", 'secret "hub-token" not found'),
    ),
}


async def embedder(found: Scenario) -> str:
    """Name of the embedder."""
    (body,) = await found.client.list(DEPLOYMENTS, found.namespace, labels=f"{names.LABEL_KIND}={names.KIND_EMBEDDER}")
    return str(body["metadata"]["name"])


async def a_pod(found: Scenario, component: str, status: dict[str, Any]) -> Object:
    """A pod of the embedder, and what is said of it."""
    meta = {"name": f"{component}-x", "namespace": found.namespace, "labels": names.labels(NAME, names.KIND_EMBEDDER, component)}
    spec = {"containers": [{"name": "main", "image": "registry.example/main:1"}], "automountServiceAccountToken": False}
    made = await found.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    await found.world.say(PODS, made, status)
    return made


async def take_away(found: Scenario, pod: Object) -> None:
    """The pod goes."""
    await found.client.delete(PODS, found.namespace, pod["metadata"]["name"], uid=pod["metadata"]["uid"])


async def told(found: Scenario, reason: str, words: str) -> None:
    """Wait until status and conditions say it."""

    async def said() -> bool:
        status = await found.status()
        spoken = [(one["reason"], one.get("message", "")) for one in status.get("conditions", ())]
        return words in status.get("message", "") and any(reason == why and words in what for why, what in spoken)

    await until(f"{reason}: {words}", said)


async def healthy(found: Scenario) -> None:
    """Wait until it serves again, without anybody's help."""
    began = time.monotonic()
    await found.ready(HEALTHY_WITHIN)
    assert time.monotonic() - began < HEALTHY_WITHIN


@pytest.mark.timeout(400)
async def test_what_is_wrong_with_pods_is_told_when_it_happens_and_a_value_that_is_taken_back_heals(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **NEWS_ALONE) as found:
        await found.start()
        await found.create()
        await found.ready()
        component = await embedder(found)
        for change, status, (reason, words) in TROUBLES.values():
            found.world.stuck.add(component)
            await found.change({"embedder": {"local": change}})
            pod = await a_pod(found, component, status)
            await told(found, reason, words)
            await found.change({"embedder": {"local": {"pod": None}}})
            await take_away(found, pod)
            found.world.stuck.discard(component)
            await healthy(found)


@pytest.mark.timeout(200)
async def test_a_volume_that_cannot_be_mounted_and_pods_that_may_not_be_made_are_told_too(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **NEWS_ALONE) as found:
        await found.start()
        await found.create()
        await found.ready()
        component = await embedder(found)
        pod = await a_pod(found, component, waiting("ContainerCreating"))
        await found.client.create(event(pod, "FailedMount", 'MountVolume.SetUp failed: secret "milvus" not found'))
        await told(found, "FailedMount", 'secret "milvus" not found')
        await take_away(found, pod)
        await found.ready()
        words = f'pods "{component}-" is forbidden: exceeded quota: gpus'
        found.world.refuse_pods(component, words)
        await told(found, "FailedCreate", words)


def event(pod: Object, reason: str, message: str) -> Object:
    """A warning of the kubelet."""
    meta = pod["metadata"]
    involved = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": f"{meta['name']}.1", "namespace": meta["namespace"]},
        "involvedObject": involved,
        "type": "Warning",
        "reason": reason,
        "message": message,
    }


AUTOSCALED = {"replicas": None, "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "targetQueueLength": 8}}
# What the autoscaler's controller says when the adapter has nothing to give.
NO_METRIC = (
    "the HPA was unable to compute the replica count: unable to get external metric search/queue_length/"
    "&LabelSelector{MatchLabels:map[string]string{component: x},}: unable to fetch metrics from external metrics API: "
)


@pytest.mark.timeout(200)
async def test_replicas_stay_and_scaling_is_not_ready_while_an_autoscaler_has_no_metric(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **NEWS_ALONE) as found:
        await found.start()
        await found.create()
        await found.change({"embedder": {"local": AUTOSCALED}})
        await found.ready()
        component = await embedder(found)
        await say_of_scaling(found, component, "True", "ValidMetricFound", "the HPA was able to calculate a replica count")
        await until("scaling is ready", lambda: scaling(found, "True", "Scaling"))
        before = await found.client.get(DEPLOYMENTS, namespace, component) or {}
        for cause in ("no metrics returned from external metrics API", "the server is currently unable to handle the request"):
            await say_of_scaling(found, component, "False", "FailedGetExternalMetric", f"{NO_METRIC}{cause}")
            await until("the status says so", lambda: scaling(found, "False", "FailedGetExternalMetric"))
            body = await found.ready()
            assert body["status"]["phase"] == "Ready", "questions are answered all the same"
        after = await found.client.get(DEPLOYMENTS, namespace, component) or {}
        assert after["spec"] == before["spec"]
        await say_of_scaling(found, component, "True", "ValidMetricFound", "the HPA was able to calculate a replica count")
        await until("scaling is ready again", lambda: scaling(found, "True", "Scaling"))


async def say_of_scaling(found: Scenario, name: str, status: str, reason: str, message: str) -> None:
    """What the controller of autoscalers writes."""
    body = await found.client.get(AUTOSCALERS, found.namespace, name) or {}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "ScalingActive", "status": status, "reason": reason, "message": message, "lastTransitionTime": now}
    await found.world.say(AUTOSCALERS, body, {"currentReplicas": 1, "desiredReplicas": 1, "conditions": [condition]})


async def scaling(found: Scenario, status: str, reason: str) -> bool:
    """Whether ScalingReady says this."""
    conditions = (await found.status()).get("conditions", ())
    return any((one["type"], one["status"], one["reason"]) == ("ScalingReady", status, reason) for one in conditions)


async def test_a_child_that_is_refused_keeps_no_traffic_on_what_is_rolled_back(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **NEWS_ALONE) as found:
        await found.start()
        await found.create()
        first = (await found.ready())["status"]["stable"]["revision"]
        model = {"name": "acme/large", "revision": "2", "source": {"image": {"reference": "models:1", "path": "large"}}}
        await found.change({"embedder": {"local": {"model": model}}})
        second = (await found.ready())["status"]["stable"]["revision"]
        assert second != first
        found.proxy.decide = lambda write: Do.REFUSE if "/ingresses/" in write.path else Do.PASS
        await found.change({"gateway": {"ingress": {"host": "handbook.example.com"}}})
        await told(found, "ChildRefused", "ingresses")
        await found.annotate({names.VERB_ROLLBACK: f"{first}/1"})

        async def back() -> bool:
            table = await found.client.get(CONFIG_MAPS, namespace, names.routing_table(NAME)) or {}
            routes = RoutingTable.from_json(table["data"][TABLE_KEY]).routes
            return {route.revision: route.weight for route in routes}.get(first) == 100

        await until("the revision before has all the traffic", back)
