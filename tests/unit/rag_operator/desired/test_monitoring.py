from __future__ import annotations

from typing import Any

from doubles.manifests import OWNER, built, revision_of, spec_of, vllm, wanted_of
from rag_operator.desired import monitoring
from rag_operator.desired.context import Surroundings


def endpoint() -> dict[str, Any]:
    found = monitoring.monitor(OWNER, Surroundings(pod_monitors=True))
    assert found is not None
    assert len(found["spec"]["podMetricsEndpoints"]) == 1
    only: dict[str, Any] = found["spec"]["podMetricsEndpoints"][0]
    return only


def test_what_a_pod_says_of_itself_never_decides() -> None:
    assert endpoint()["honorLabels"] is False


def test_the_labels_that_autoscalers_ask_for_come_from_the_target() -> None:
    targets = {one["targetLabel"]: one for one in endpoint()["relabelings"]}
    assert targets["component"]["sourceLabels"] == ["__meta_kubernetes_pod_label_ragops_dev_component"]
    assert targets["pipeline"]["sourceLabels"] == ["__meta_kubernetes_pod_label_ragops_dev_pipeline"]


def test_generators_alone_get_the_queue_that_vllm_does_not_name() -> None:
    queue = next(one for one in endpoint()["relabelings"] if one["targetLabel"] == "queue")
    assert (queue["regex"], queue["replacement"]) == ("generator", "generation")


def test_every_workload_that_runs_on_has_the_port_that_is_scraped() -> None:
    found = built(wanted_of(revision_of(spec_of(generator=vllm()))))
    for (kind, name), manifest in found.items():
        if kind in ("Deployment", "StatefulSet"):
            ports = manifest["spec"]["template"]["spec"]["containers"][0]["ports"]
            assert endpoint()["port"] in {port["name"] for port in ports}, name
