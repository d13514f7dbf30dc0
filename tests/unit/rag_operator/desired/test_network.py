from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from doubles.manifests import HUB, OWNER, built, revision_of, spec_of, vllm, wanted_of
from rag_operator.desired import peers
from rag_operator.desired.children import Wanted
from rag_operator.desired.context import Manifest, Surroundings

ALL = Surroundings(api_server_cidrs=("10.0.0.1/32",), scraper_namespaces=("monitoring",), operator_namespace="rag-system")


def policies(wanted: Wanted, surroundings: Surroundings = ALL) -> dict[str, Manifest]:
    return {
        name.removeprefix("handbook-"): one["spec"] for (kind, name), one in built(wanted, surroundings).items() if kind == "NetworkPolicy"
    }


def of(**change: Any) -> dict[str, Manifest]:
    return policies(wanted_of(revision_of(spec_of(**change))))


def ports(rule: Manifest) -> list[int]:
    return [port["port"] for port in rule.get("ports", [])]


def kinds(rule: Manifest, side: str) -> set[str]:
    return {
        value
        for peer in rule.get(side, [])
        for expression in peer.get("podSelector", {}).get("matchExpressions", [])
        for value in expression["values"]
        if "namespaceSelector" not in peer
    }


def rule_for(policy: Manifest, side: str, port: int) -> Manifest:
    return next(rule for rule in policy["ingress" if side == "from" else "egress"] if port in ports(rule))


def test_every_pod_of_a_pipeline_is_denied_everything_but_names() -> None:
    default = of()["default"]
    assert default["podSelector"] == {"matchLabels": {"ragops.dev/pipeline": "handbook"}}
    assert default["policyTypes"] == ["Ingress", "Egress"]
    assert default["ingress"] == []
    assert [ports(rule) for rule in default["egress"]] == [[53, 53]]


def test_embedders_are_asked_by_gateways_and_indexers_only() -> None:
    assert kinds(rule_for(of()["embedder"], "from", 8080), "from") == {"gateway", "indexer", "evaluation"}


def test_vllm_is_reached_by_gateways_and_the_scraper_only() -> None:
    ingress = of(generator=vllm())["generator"]["ingress"]
    assert [ports(rule) for rule in ingress] == [[8000], [8000]]
    assert kinds(ingress[0], "from") == {"gateway"}
    assert ingress[1]["from"] == peers.namespaces("monitoring")


def test_the_preview_port_is_for_evaluations() -> None:
    assert kinds(rule_for(of()["gateway"], "from", 8081), "from") == {"evaluation"}


def test_the_operator_and_the_scraper_reach_the_gateways_metrics() -> None:
    peers_of_metrics = rule_for(of()["gateway"], "from", 9090)["from"]
    assert peers.pods_of("rag-system", {"app.kubernetes.io/name": "rag-operator"})[0] in peers_of_metrics
    assert peers.namespaces("monitoring")[0] in peers_of_metrics


def test_anybody_may_ask_unless_clients_are_named() -> None:
    assert "from" not in rule_for(of()["gateway"], "from", 8080)
    clients = [{"cidr": "10.1.0.0/16"}, {"namespaceSelector": {"matchLabels": {"team": "a"}}}]
    named = rule_for(of(gateway={"clients": clients})["gateway"], "from", 8080)
    assert named["from"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"namespaceSelector": {"matchLabels": {"team": "a"}}}]


def test_gateway_and_indexer_reach_the_api_server_at_its_address_only() -> None:
    for name in ("gateway", "indexer", "evaluation"):
        assert {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": peers.tcp(443, 6443)} in of()[name]["egress"], name
    assert all(443 not in ports(rule) for rule in of()["embedder"]["egress"])


def test_an_embedder_reaches_a_hub_only_when_its_model_comes_from_one() -> None:
    assert of()["embedder"]["egress"] == []
    hub = of(embedder={"local": {"model": {**HUB, "source": {"image": None, "huggingFace": {}}}}})["embedder"]["egress"]
    assert [ports(rule) for rule in hub] == [[443]]


def test_an_indexer_reaches_the_sources_of_the_spec() -> None:
    sources = [
        {"name": "a", "s3": {"bucket": "docs", "endpoint": "http://s3.storage.svc:9000"}},
        {"name": "b", "git": {"url": "ssh://git@git.example.com/a/b"}},
    ]
    egress = of(sources=sources)["indexer"]["egress"]
    assert {"to": peers.namespaces("storage")} in egress
    assert {"to": peers.anywhere(), "ports": peers.tcp(22)} in egress


def test_an_evaluation_reaches_the_bucket_of_its_questions() -> None:
    bucket = {"bucket": "questions", "prefix": "q.jsonl", "endpoint": "http://s3.storage.svc:9000"}
    egress = of(rollout={"evaluation": {"questionSet": {"s3": bucket}}})["evaluation"]["egress"]
    assert {"to": peers.namespaces("storage")} in egress


def test_a_retired_revision_s_external_endpoint_stays_reachable_while_it_is_kept() -> None:
    external = {"local": None, "external": {"url": "https://10.9.8.7:8443/v1", "model": "e", "dimensions": 8, "revision": "1"}}
    stable = revision_of(spec_of(embedder=external))
    newest = revision_of(spec_of())
    gateway = policies(wanted_of(stable, newest))["gateway"]
    assert {"to": [{"ipBlock": {"cidr": "10.9.8.7/32"}}], "ports": peers.tcp(8443)} in gateway["egress"]


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1"])
def test_nobody_reaches_link_local_addresses(address: str) -> None:
    production = wanted_of(revision_of(spec_of(sources=[{"name": "a", "s3": {"bucket": "docs"}}], generator=vllm(model=hub_model()))))
    for name, policy in policies(production, Surroundings()).items():
        for rule in policy["egress"]:
            for block in [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]:
                assert not covers(block, address), name
            assert rule.get("to"), f"{name}: a rule without `to` allows everything"


def hub_model() -> dict[str, Any]:
    return {**HUB, "source": {"image": None, "huggingFace": {}}}


def covers(block: Manifest, address: str) -> bool:
    found = ip_address(address)
    network = ip_network(block["cidr"])
    if found.version != network.version or found not in network:
        return False
    return not any(found in ip_network(excluded) for excluded in block.get("except", []))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://models.example.com/v1", {"to": peers.anywhere(), "ports": peers.tcp(443)}),
        ("http://models.example.com:8000", {"to": peers.anywhere(), "ports": peers.tcp(8000)}),
        ("http://10.2.3.4:80", {"to": [{"ipBlock": {"cidr": "10.2.3.4/32"}}], "ports": peers.tcp(80)}),
        ("http://tei.models.svc.cluster.local:80", {"to": peers.namespaces("models")}),
        ("http://tei:8080", {"to": peers.namespaces("search")}),
    ],
)
def test_a_url_becomes_the_narrowest_rule_that_a_policy_can_say(url: str, expected: Manifest) -> None:
    assert peers.url(OWNER, url) == [expected]


def test_a_name_of_two_parts_may_be_a_service_of_another_namespace_or_a_host_outside() -> None:
    outside = {"to": peers.anywhere(), "ports": peers.tcp(19530)}
    assert peers.address(OWNER, "store.data:19530") == [{"to": peers.namespaces("data")}, outside]


def test_parts_of_a_milvus_cluster_may_talk_to_each_other() -> None:
    policy = of(vectorStore={"milvus": {"standalone": None, "cluster": {}}})["milvus"]
    assert {"from": peers.own(OWNER, "milvus")} in policy["ingress"]
    assert of()["milvus"]["egress"] == []
