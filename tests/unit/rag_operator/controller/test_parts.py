"""What a pipeline has once, and what of it is not yet as the spec asks."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.manifests import spec_of
from rag_operator import names
from rag_operator.controller.parts import endpoint, parts, unfinished
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import AUTOSCALERS, DEPLOYMENTS, PODS, Resource

SPEC = spec_of()


def child(resource: Resource, name: str, kind: str = "gateway", **body: Any) -> Child:
    labels = {names.LABEL_PIPELINE: "handbook", names.LABEL_COMPONENT: kind, names.LABEL_KIND: kind}
    meta = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1", "generation": 3, "labels": labels}
    return reduce(resource, {"metadata": meta, **body})


def by_name(*children: Child) -> dict[tuple[str, str], Child]:
    return {(one.kind, one.name): one for one in children}


def gateway(ready: int = 1, updated: int = 1, observed: int = 3) -> Child:
    status = {"readyReplicas": ready, "updatedReplicas": updated, "observedGeneration": observed}
    return child(DEPLOYMENTS, "handbook-gateway", spec={"replicas": 1}, status=status)


PENDING = child(
    PODS, "p", status={"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}
)


def test_a_gateway_with_a_ready_pod_serves() -> None:
    found = parts("handbook", SPEC, by_name(gateway()), ())
    assert found["Gateway"].ready is True
    assert found["VectorStore"].reason == "Missing"


def test_a_gateway_without_one_says_why() -> None:
    found = parts("handbook", SPEC, by_name(gateway(ready=0), PENDING), ())["Gateway"]
    assert (found.ready, found.reason, found.message) == (False, "Unschedulable", "0/1 nodes")


def test_what_answers_but_cannot_be_brought_to_the_spec_is_unfinished() -> None:
    found = unfinished(by_name(gateway(), PENDING), ())
    assert [(failure.reason, failure.lasting) for failure in found] == [("Unschedulable", True)]


def test_a_pod_that_ended_and_was_replaced_is_no_trouble_and_one_that_was_not_is() -> None:
    corpse = child(PODS, "p", status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."})
    assert unfinished(by_name(gateway(), corpse), ()) == ()
    assert [failure.reason for failure in unfinished(by_name(gateway(ready=0), corpse), ())] == ["Evicted"]


def test_an_update_under_way_is_unfinished_and_passes_by_itself() -> None:
    found = unfinished(by_name(gateway(updated=0)), ())
    assert [(failure.reason, failure.lasting) for failure in found] == [("RollingUpdate", False)]


def test_an_annotation_of_somebody_else_is_no_update() -> None:
    assert unfinished(by_name(gateway(observed=2)), ()) == ()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}, (True, "Scaling")),
        ({"type": "ScalingActive", "status": "False", "reason": "FailedGetExternalMetric"}, (False, "FailedGetExternalMetric")),
        ({"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}, (True, "Scaling")),
    ],
)
def test_an_autoscaler_that_cannot_read_its_metric_is_told(condition: dict[str, str], expected: tuple[bool, str]) -> None:
    scaler = child(AUTOSCALERS, "e", "embedder", status={"conditions": [condition]})
    found = parts("handbook", SPEC, by_name(scaler), ())["Scaling"]
    assert (found.ready, found.reason) == expected


def test_the_endpoint_is_the_service_unless_there_is_an_ingress() -> None:
    assert endpoint("search", "handbook", SPEC, {}) == "http://handbook-gateway.search.svc"
