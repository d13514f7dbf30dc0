"""What keeps pods from running, in the words of those who know, and steady."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator.controller import pods
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import DEPLOYMENTS, PODS


def pod(status: dict[str, Any]) -> Child:
    meta = {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {"ragops.dev/pipeline": "x"}}
    return reduce(PODS, {"metadata": meta, "status": status})


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "c", "image": "img:1", "state": {"waiting": {"reason": reason, "message": message}}, **more}]}


def test_the_scheduler_is_quoted() -> None:
    said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    assert list(pods.of_pod(pod({"conditions": [condition]}))) == [pods.Trouble("Unschedulable", said, "p")]


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_trying_and_waiting_for_an_image_are_one_trouble_so_that_the_status_does_not_flap(reason: str) -> None:
    assert list(pods.of_pod(pod(waiting(reason, "x")))) == [
        pods.Trouble("ImagePullBackOff", "container c: image img:1 cannot be pulled", "p")
    ]


def test_a_missing_secret_is_quoted() -> None:
    found = next(iter(pods.of_pod(pod(waiting("CreateContainerConfigError", 'secret "s3-read" not found')))))
    assert (found.reason, found.message) == ("CreateContainerConfigError", 'container c: secret "s3-read" not found')


def test_a_container_that_was_killed_for_memory_says_so_while_it_waits_to_start_again() -> None:
    last = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    trouble = pods.worst(pods.of_pod(pod(waiting("CrashLoopBackOff", "back-off 10s", lastState=last, restartCount=3, ready=False))))
    assert trouble is not None
    assert trouble.reason == "OOMKilled"


def test_a_crash_loop_tells_what_the_container_said_and_not_how_long_it_waits() -> None:
    last = {"terminated": {"reason": "Error", "exitCode": 2, "message": "model not found"}}
    trouble = pods.worst(pods.of_pod(pod(waiting("CrashLoopBackOff", "back-off 40s", lastState=last))))
    assert trouble == pods.Trouble("CrashLoopBackOff", "container c ends with exit code 2: model not found", "p")


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_pod_that_is_merely_starting_is_no_trouble_but_is_known_to_start(reason: str) -> None:
    assert list(pods.of_pod(pod(waiting(reason)))) == []
    assert pods.is_starting(pod(waiting(reason)))


def test_a_pod_that_was_forbidden_is_told_by_its_workload() -> None:
    said = 'pods "handbook-gateway-5d59d67564-x7rpl" is forbidden: exceeded quota'
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}
    meta = {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    found = list(pods.of_workload(reduce(DEPLOYMENTS, {"metadata": meta, "status": {"conditions": [condition]}})))
    # Each try has another name, and the status must not change with it.
    assert found == [pods.Trouble("FailedCreate", 'pods "handbook-gateway-5d59d67564" is forbidden: exceeded quota')]


def test_the_worst_is_the_one_that_a_person_must_act_on() -> None:
    troubles = [pods.Trouble("Unschedulable", "b"), pods.Trouble("Curious", "a"), pods.Trouble("ImagePullBackOff", "c")]
    assert pods.worst(troubles) == troubles[2]
    assert pods.worst([]) is None
