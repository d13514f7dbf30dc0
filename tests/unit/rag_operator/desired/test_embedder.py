from __future__ import annotations

from typing import Any

import pytest

from doubles.manifests import HUB, built, container_of, environment_of, revision_of, spec_of, wanted_of
from rag_operator.desired.context import Manifest
from rag_runtime.contracts import pods as contract


def embedder(**local: Any) -> Manifest:
    revision = revision_of(spec_of(embedder={"local": local}))
    return built(wanted_of(revision))["Deployment", revision.embedder.name]


def test_the_image_is_told_everything_it_reads() -> None:
    environment = environment_of(embedder(batching={"maxWait": "7ms"}, precision="Float32"))
    assert environment[contract.ENV_MODEL] == "/models/minilm"
    assert environment[contract.ENV_MODEL_NAME] == "minilm"
    assert environment[contract.ENV_DIMENSIONS] == "384"
    assert environment[contract.ENV_PRECISION] == "Float32"
    assert environment[contract.ENV_MAX_WAIT] == "7ms"
    assert environment[contract.ENV_MAX_BULK_BATCH] == "50ms"
    assert environment[contract.ENV_COMPONENT] == revision_of(spec_of(embedder={"local": {"precision": "Float32"}})).embedder.name
    assert environment[contract.ENV_POD] == {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}


def test_weights_from_an_image_are_mounted_read_only_and_nothing_is_downloaded() -> None:
    manifest = embedder()
    volumes = {one["name"]: one for one in manifest["spec"]["template"]["spec"]["volumes"]}
    assert volumes["model"]["image"] == {"reference": "ragops.dev/models:0.1", "pullPolicy": "IfNotPresent"}
    mounts = {one["name"]: one for one in container_of(manifest)["volumeMounts"]}
    assert mounts["model"] == {"name": "model", "mountPath": "/models", "readOnly": True}
    assert environment_of(manifest)["HF_HUB_OFFLINE"] == "1"


def test_weights_from_a_volume_are_mounted_read_only() -> None:
    source = {"image": None, "pvc": {"claimName": "weights", "path": "bge/"}}
    manifest = embedder(model={"source": source})
    volumes = {one["name"]: one for one in manifest["spec"]["template"]["spec"]["volumes"]}
    assert volumes["model"]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert environment_of(manifest)[contract.ENV_MODEL] == "/models/bge"


def test_weights_from_a_hub_are_pinned_and_the_token_never_appears() -> None:
    source = {"image": None, "huggingFace": {"endpoint": "https://hub.internal", "tokenSecretRef": {"name": "hub", "key": "token"}}}
    environment = environment_of(embedder(model={**HUB, "source": source}))
    assert environment[contract.ENV_MODEL] == HUB["name"]
    assert environment[contract.ENV_MODEL_REVISION] == HUB["revision"]
    assert environment["HF_ENDPOINT"] == "https://hub.internal"
    assert environment["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert "HF_HUB_OFFLINE" not in environment


def test_a_model_cache_outlives_pods_and_is_found_by_the_next_embedder() -> None:
    cache = {"modelCache": {"size": "5Gi", "accessMode": "ReadWriteOnce"}}
    source = {"local": {**cache, "model": {**HUB, "source": {"image": None, "huggingFace": {}}}}}
    stable, candidate = (
        revision_of(spec_of(embedder=source)),
        revision_of(spec_of(embedder={"local": {**source["local"], "dimensions": 32}})),
    )
    found = built(wanted_of(stable, candidate))
    claims = [one for (kind, name), one in found.items() if kind == "PersistentVolumeClaim" and "cache" in name]
    assert len(claims) == 1
    for revision in (stable, candidate):
        volumes = {one["name"]: one for one in found["Deployment", revision.embedder.name]["spec"]["template"]["spec"]["volumes"]}
        assert volumes["cache"]["persistentVolumeClaim"]["claimName"] == claims[0]["metadata"]["name"]


def test_a_cache_of_another_class_is_another_claim_because_a_claim_cannot_change_it() -> None:
    def claim(**cache: str) -> str:
        revision = revision_of(spec_of(embedder={"local": {"modelCache": {"size": "5Gi", **cache}}}))
        return next(name for kind, name in built(wanted_of(revision)) if kind == "PersistentVolumeClaim" and "cache" in name)

    assert claim(storageClassName="fast") != claim(storageClassName="slow")
    assert claim(size="5Gi") == claim(size="50Gi")


def test_a_large_model_may_take_half_an_hour_to_load() -> None:
    probe = container_of(embedder())["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800
    assert probe["httpGet"]["path"] == "/readyz"


def test_an_external_embedder_has_no_children() -> None:
    external = {"local": None, "external": {"url": "https://models.example.com/v1", "model": "e", "dimensions": 8, "revision": "1"}}
    revision = revision_of(spec_of(embedder=external))
    assert revision.embedder.name not in {name for _, name in built(wanted_of(revision))}


@pytest.mark.parametrize("given", [{"requests": {"cpu": "2"}}, {"limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}}])
def test_resources_of_the_user_replace_the_defaults(given: dict[str, Any]) -> None:
    assert container_of(embedder(pod={"resources": given}))["resources"] == given


@pytest.mark.parametrize(("limits", "image"), [({"memory": "1Gi"}, "embedder"), ({"nvidia.com/gpu": "1"}, "embedder-gpu")])
def test_a_pod_that_asks_for_a_gpu_runs_the_image_that_can_use_it(limits: dict[str, str], image: str) -> None:
    assert container_of(embedder(pod={"resources": {"limits": limits}}))["image"] == f"ragops.dev/{image}:0.1"


def test_without_resources_the_pod_still_asks_for_something() -> None:
    assert container_of(embedder())["resources"]["requests"]["memory"]
