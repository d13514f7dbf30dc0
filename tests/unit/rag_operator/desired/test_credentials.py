from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from doubles.manifests import built, revision_of, spec_of, wanted_of
from rag_operator.desired import credentials
from rag_operator.desired.context import Manifest
from rag_operator.model.plan import Keep, Role
from rag_operator.model.revision import Revision

AUTHORITIES = [None, *({"name": name, "key": key} for name in ("ca-1", "ca-2", "login") for key in ("ca.crt", "root.pem"))]
STORES = [
    {**({"credentialsSecretRef": {"name": login}} if login else {}), **({"tls": {"caSecretRef": authority}} if authority else {})}
    for login, authority in product((None, "login", "other", "ca-1"), AUTHORITIES)
]


def reaching(store: dict[str, Any], top_k: int = 8) -> Revision:
    external = {"address": "milvus.example.com:19530", **store}
    return revision_of(spec_of(vectorStore={"milvus": {"standalone": None, "external": external}}, retrieval={"topK": top_k}))


def paths(volume: Manifest) -> list[str]:
    return [item["path"] for source in volume.get("projected", {}).get("sources", ()) for item in source["secret"].get("items") or ()]


def test_no_volume_has_a_path_twice_whatever_two_revisions_ask_for() -> None:
    asked = [credentials.of_answering(reaching(store).spec) for store in STORES]
    for one, other in product(asked, asked):
        for volume in credentials.volumes([*one, *other]):
            assert len(set(paths(volume.source))) == len(paths(volume.source)), (one, other)


@pytest.mark.parametrize("roles", [("stable", "candidate"), ("retired", "stable")])
def test_of_two_authorities_for_one_login_the_newest_one_is_mounted(roles: tuple[Role, Role]) -> None:
    def trusting(name: str, top_k: int) -> Revision:
        return reaching({"credentialsSecretRef": {"name": "login"}, "tls": {"caSecretRef": {"name": name, "key": "root.pem"}}}, top_k)

    before, newest = trusting("before", 8), trusting("after", 20)
    keep = sorted([Keep(before.name, roles[0]), Keep(newest.name, roles[1])], key=lambda one: one.role != "stable")
    found = built(wanted_of(before, newest, keep=keep))
    for name in ("handbook-gateway", "handbook-indexer"):
        volumes = found["Deployment", name]["spec"]["template"]["spec"]["volumes"]
        beside = [source["secret"]["name"] for one in volumes if paths(one) for source in one["projected"]["sources"]]
        assert beside == ["login", "after"]


@pytest.mark.parametrize("authority", ["a-ca", "z-ca"])
def test_the_named_authority_is_trusted_also_where_the_login_has_a_key_of_that_name(authority: str) -> None:
    """Of two sources of a volume that have the same file the kubelet writes the last one."""
    store = {"credentialsSecretRef": {"name": "login"}, "tls": {"caSecretRef": {"name": authority, "key": "root.pem"}}}
    parts = credentials.of_answering(reaching(store).spec)
    assert credentials.volumes(reversed(parts)) == credentials.volumes(parts)
    (volume,) = (one for one in credentials.volumes(parts) if one.path.endswith("/login"))
    assert [source["secret"]["name"] for source in volume.source["projected"]["sources"]] == ["login", authority]
