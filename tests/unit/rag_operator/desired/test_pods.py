from __future__ import annotations

from typing import Any

import pytest

from doubles.manifests import built, container_of, environment_of, examples, revision_of, spec_of, vllm, wanted_of
from rag_operator.desired.children import children
from rag_operator.desired.context import Manifest, Owner, Surroundings

ALLOWED_VOLUMES = {"configMap", "emptyDir", "image", "persistentVolumeClaim", "projected", "secret"}


def pods() -> list[tuple[str, Manifest]]:
    found = []
    for file, name, spec in examples():
        for manifest in children(Owner(name, "search", "u"), wanted_of(revision_of(spec, pipeline=name), mode="Build"), Surroundings()):
            template = manifest["spec"].get("template") if "spec" in manifest else None
            if template:
                found.append((f"{file} {manifest['kind']} {manifest['metadata']['name']}", template))
    return found


@pytest.mark.parametrize("template", [found[1] for found in pods()], ids=[found[0] for found in pods()])
def test_every_pod_satisfies_the_restricted_standard(template: Manifest) -> None:
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
    assert {key for volume in spec["volumes"] for key in volume if key != "name"} <= ALLOWED_VOLUMES
    assert not any(key.startswith("host") for key in spec)
    assert spec["enableServiceLinks"] is False


def test_only_gateway_and_indexer_get_a_token() -> None:
    found = built(wanted_of(revision_of(spec_of(generator=vllm())), mode="Build"))
    holders = {one["metadata"]["name"] for one in found.values() if token(one)}
    index = revision_of().index.name
    assert holders == {"handbook-gateway", "handbook-indexer", f"{index}-build-1"}


def token(manifest: Manifest) -> bool:
    template = manifest.get("spec", {}).get("template")
    return bool(template and template["spec"]["automountServiceAccountToken"])


def pod_of(settings: dict[str, Any]) -> Manifest:
    revision = revision_of(spec_of(embedder={"local": {"pod": settings}}))
    return built(wanted_of(revision))["Deployment", revision.embedder.name]


def test_a_pod_goes_where_its_settings_say() -> None:
    settings = {
        "nodeSelector": {"gpu": "l4"},
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "rag", "effect": "NoSchedule"}],
        "priorityClassName": "serving",
        "runtimeClassName": "nvidia",
        "imagePullSecrets": [{"name": "registry"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term()]}}},
    }
    spec = pod_of(settings)["spec"]["template"]["spec"]
    for key in ("nodeSelector", "tolerations", "priorityClassName", "runtimeClassName", "imagePullSecrets", "affinity"):
        assert spec[key] == settings[key]


def term() -> dict[str, Any]:
    return {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}


@pytest.mark.parametrize("device", ["nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/xe"])
def test_who_asks_for_a_gpu_tolerates_the_taint_of_gpu_nodes(device: str) -> None:
    spec = pod_of({"resources": {"limits": {device: 1}}})["spec"]["template"]["spec"]
    assert spec["tolerations"] == [{"key": device, "operator": "Exists", "effect": "NoSchedule"}]


def test_a_toleration_of_the_user_for_gpus_is_not_doubled() -> None:
    own = {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoExecute"}
    spec = pod_of({"resources": {"limits": {"nvidia.com/gpu": 1}}, "tolerations": [own]})["spec"]["template"]["spec"]
    assert spec["tolerations"] == [own]


def test_pods_spread_over_nodes_unless_told_otherwise() -> None:
    plain = pod_of({})["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [(one["topologyKey"], one["whenUnsatisfiable"]) for one in plain] == [("kubernetes.io/hostname", "ScheduleAnyway")]
    chosen = pod_of({"topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 2}]})
    spread = chosen["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [(one["topologyKey"], one["maxSkew"]) for one in spread] == [("topology.kubernetes.io/zone", 2)]
    assert spread[0]["labelSelector"]["matchLabels"] == chosen["spec"]["selector"]["matchLabels"]


def test_labels_and_annotations_of_the_user_are_added_and_never_replace_ours() -> None:
    template = pod_of({"labels": {"team": "search"}, "annotations": {"note": "x"}})["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "search"
    assert template["metadata"]["labels"]["ragops.dev/kind"] == "embedder"
    assert template["metadata"]["annotations"]["note"] == "x"


def test_an_environment_variable_of_the_user_is_set_once() -> None:
    manifest = pod_of({"env": [{"name": "HF_HUB_OFFLINE", "value": "0"}, {"name": "OWN", "value": "1"}]})
    assert [entry["name"] for entry in container_of(manifest)["env"]].count("HF_HUB_OFFLINE") == 1
    assert environment_of(manifest)["HF_HUB_OFFLINE"] == "0"
    assert environment_of(manifest)["OWN"] == "1"


def test_an_account_of_the_user_is_used_and_gets_the_rights() -> None:
    found = built(wanted_of(revision_of(spec_of(gateway={"pod": {"serviceAccountName": "mine"}}))))
    assert found["Deployment", "handbook-gateway"]["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    assert found["RoleBinding", "handbook-gateway"]["subjects"][0]["name"] == "mine"
    assert ("ServiceAccount", "handbook-gateway") not in found


def test_every_pod_that_has_metrics_tells_plain_prometheus_where() -> None:
    found = built(wanted_of(revision_of(spec_of(generator=vllm()))))
    for one in found.values():
        template = one.get("spec", {}).get("template")
        if template is None:
            continue
        ports = {port["name"]: str(port["containerPort"]) for port in template["spec"]["containers"][0]["ports"]}
        annotations = template["metadata"]["annotations"]
        assert annotations["prometheus.io/scrape"] == "true"
        assert annotations["prometheus.io/port"] == ports["metrics"]


def test_workloads_that_serve_surge_before_anything_is_taken_away() -> None:
    revision = revision_of(spec_of(generator=vllm()))
    assert revision.generator is not None
    found = built(wanted_of(revision))
    for name in (revision.embedder.name, revision.generator.name, "handbook-gateway"):
        assert found["Deployment", name]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert found["PodDisruptionBudget", name]["spec"]["maxUnavailable"] == 1
