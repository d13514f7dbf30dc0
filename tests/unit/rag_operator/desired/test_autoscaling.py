from __future__ import annotations

from typing import Any

from doubles.manifests import built, revision_of, spec_of, vllm, wanted_of

AUTOSCALING = {"minReplicas": 2, "maxReplicas": 9, "targetQueueLength": 64, "scaleDownWindow": "2m"}


def both() -> tuple[dict[str, Any], dict[str, Any], Any]:
    revision = revision_of(spec_of(embedder={"local": {"autoscaling": AUTOSCALING}}, generator=vllm(autoscaling=AUTOSCALING)))
    found = built(wanted_of(revision))
    assert revision.generator is not None
    kind = "HorizontalPodAutoscaler"
    return found[kind, revision.embedder.name]["spec"], found[kind, revision.generator.name]["spec"], revision


def test_each_follows_its_own_queue_and_no_other_component_s() -> None:
    embedder, generator, revision = both()
    labels = [one["metrics"][0]["external"]["metric"]["selector"]["matchLabels"] for one in (embedder, generator)]
    assert labels[0] == {"queue": "embedding", "pipeline": "handbook", "component": revision.embedder.name, "lane": "query"}
    assert labels[1] == {"queue": "generation", "pipeline": "handbook", "component": revision.generator.name}


def test_the_target_is_an_average_for_each_replica() -> None:
    for spec in both()[:2]:
        external = spec["metrics"][0]["external"]
        assert external["metric"]["name"] == "queue_length"
        assert external["target"] == {"type": "AverageValue", "averageValue": "64"}


def test_bounds_and_patience_are_those_of_the_spec() -> None:
    for spec in both()[:2]:
        assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)
        assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 120


def test_it_scales_the_deployment_of_its_component() -> None:
    embedder, _, revision = both()
    assert embedder["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision.embedder.name}
