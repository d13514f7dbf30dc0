"""Whether every field of an intent is still ours, read from `fieldsV1`."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator.kube.fields import entry, lost

MANIFEST: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d", "namespace": "n", "labels": {"a": "1"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"a": "1"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["x"]}]}},
    },
}


def ours() -> dict[str, Any]:
    container = {
        ".": {},
        "f:name": {},
        "f:image": {},
        "f:args": {},
        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {"f:containerPort": {}}},
    }
    template = {"f:spec": {"f:containers": {'k:{"name":"c"}': container}}}
    return {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": template}}


def test_nothing_is_lost_when_every_field_is_ours() -> None:
    assert lost(MANIFEST, ours()) is None


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("f:spec", "f:replicas"), "spec.replicas"),
        (("f:metadata", "f:labels", "f:a"), "metadata.labels.a"),
        (("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}', "f:image"), "spec.template.spec.containers[0].image"),
        (("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}'), "spec.template.spec.containers[0]"),
    ],
)
def test_a_field_that_somebody_took_is_named(path: tuple[str, ...], named: str) -> None:
    fields = ours()
    node = fields
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    # What is left of a map that lost a member still says that it is one.
    node.setdefault(".", {})
    assert lost(MANIFEST, fields) == named


def test_an_object_that_we_never_applied_has_lost_everything() -> None:
    assert lost(MANIFEST, {}) == "metadata"


def test_a_member_of_a_set_that_somebody_took_is_named() -> None:
    manifest = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "finalizers": ["a", "b"]}}
    assert lost(manifest, {"f:metadata": {"f:finalizers": {".": {}, 'v:"a"': {}}}}) == "metadata.finalizers[1]"


def test_what_the_server_drops_because_it_is_empty_is_not_lost() -> None:
    manifest = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "data": {}}
    assert lost(manifest, {"f:metadata": {}}) is None


def test_the_entry_is_our_own_apply_of_the_object_itself() -> None:
    others = [
        {"manager": "rag-operator", "operation": "Update", "fieldsV1": {"f:a": {}}},
        {"manager": "rag-operator", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:b": {}}},
        {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:c": {}}},
    ]
    assert entry({"metadata": {"managedFields": others}}) == {}
    mine = {"manager": "rag-operator", "operation": "Apply", "fieldsV1": {"f:d": {}}}
    assert entry({"metadata": {"managedFields": [*others, mine]}}) == {"f:d": {}}
