from __future__ import annotations

from doubles.manifests import built, container_of, environment_of, revision_of, spec_of, vllm, wanted_of
from rag_runtime.contracts import pods as contract

INGRESS = {"host": "ask.example.com", "className": "nginx", "tlsSecretName": "tls", "annotations": {"example.com/timeout": "600"}}


def test_the_gateway_is_told_which_table_to_follow_and_may_read_no_other() -> None:
    found = built(wanted_of(revision_of()))
    assert environment_of(found["Deployment", "handbook-gateway"])[contract.ENV_TABLE_CONFIGMAP] == "handbook-routing"
    assert found["Role", "handbook-gateway"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "watch"], "resourceNames": ["handbook-routing"]}
    ]


def test_the_preview_port_is_on_a_service_of_its_own_inside_the_cluster() -> None:
    found = built(wanted_of(revision_of(spec_of(gateway={"service": {"type": "LoadBalancer", "annotations": {"a.b/c": "d"}}}))))
    public, preview = found["Service", "handbook-gateway"], found["Service", "handbook-gateway-preview"]
    assert public["spec"]["type"] == "LoadBalancer"
    assert public["metadata"]["annotations"] == {"a.b/c": "d"}
    assert [port["targetPort"] for port in public["spec"]["ports"]] == ["http"]
    assert preview["spec"]["type"] == "ClusterIP"
    assert [port["port"] for port in preview["spec"]["ports"]] == [contract.GATEWAY_PREVIEW_PORT]


def test_an_ingress_exists_only_when_asked_for() -> None:
    assert ("Ingress", "handbook-gateway") not in built(wanted_of(revision_of()))
    found = built(wanted_of(revision_of(spec_of(gateway={"ingress": INGRESS}))))["Ingress", "handbook-gateway"]
    assert found["spec"]["rules"][0]["host"] == "ask.example.com"
    assert found["spec"]["tls"] == [{"hosts": ["ask.example.com"], "secretName": "tls"}]
    assert found["spec"]["ingressClassName"] == "nginx"
    assert found["metadata"]["annotations"] == {"example.com/timeout": "600"}


def test_api_keys_are_mounted_and_never_in_the_environment() -> None:
    manifest = built(wanted_of(revision_of(spec_of(gateway={"auth": {"apiKeysSecretRef": {"name": "clients"}}}))))[
        "Deployment", "handbook-gateway"
    ]
    volumes = {one["name"]: one for one in manifest["spec"]["template"]["spec"]["volumes"]}
    assert volumes["api-keys"]["secret"] == {"secretName": "clients"}
    assert "clients" not in str(environment_of(manifest))


def test_it_carries_the_credentials_of_every_revision_that_it_may_answer_by() -> None:
    def external(secret: str) -> dict[str, object]:
        return {
            "local": None,
            "external": {"url": "https://e.example.com/v1", "model": "e", "dimensions": 8, "revision": secret} | ref(secret),
        }

    def ref(secret: str) -> dict[str, object]:
        return {"credentialsSecretRef": {"name": secret}}

    stable, candidate = revision_of(spec_of(embedder=external("old"))), revision_of(spec_of(embedder=external("new")))
    manifest = built(wanted_of(stable, candidate))["Deployment", "handbook-gateway"]
    mounts = {one["mountPath"] for one in container_of(manifest)["volumeMounts"]}
    assert {"/etc/rag/credentials/old", "/etc/rag/credentials/new"} <= mounts


def test_an_answer_may_be_finished_as_long_as_the_slowest_generator_may_drain() -> None:
    def grace(**settings: str) -> int:
        manifest = built(wanted_of(revision_of(spec_of(generator=vllm(**settings)))))["Deployment", "handbook-gateway"]
        told = int(environment_of(manifest)[contract.ENV_GRACE_SECONDS])
        assert manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > told
        return told

    assert grace(drainTimeout="10m") == 600
    assert grace(drainTimeout="1s") == 60


def test_the_number_of_replicas_is_the_spec_s() -> None:
    assert built(wanted_of(revision_of(spec_of(gateway={"replicas": 5}))))["Deployment", "handbook-gateway"]["spec"]["replicas"] == 5
