"""One API server for all manifests: with the CRDs, a namespace that enforces `restricted`, and the kinds of other operators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.api_only import ApiServer
from cluster.processes import wait_until
from rag_operator.api.crd import index_crd, pipeline_crd

RESTRICTED = "restricted"
OTHERS = (("milvus.io", "v1beta1", "milvuses", "Milvus"), ("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor"))


def permissive(group: str, version: str, plural: str, kind: str) -> dict[str, Any]:
    """A kind of somebody else, whose fields are not checked: their CRDs are not at hand."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}],
        },
    }


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    definitions = [pipeline_crd(), index_crd(), *(permissive(*other) for other in OTHERS)]
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RESTRICTED, "labels": labels}}
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "serving"}, "value": 1000}
    with ApiServer() as server:
        server.kubectl("apply", "-f", "-", stdin=as_list([*definitions, namespace, priority]))
        wait_until(lambda: established(server) == len(definitions), 30, "every kind to be established")
        yield server


def established(server: ApiServer) -> int:
    """How many kinds the server serves. A definition has no status at all in its first moments, which `kubectl wait` takes for an error."""
    listed = json.loads(server.kubectl("get", "crd", "-o", "json"))["items"]
    conditions = [condition for one in listed for condition in one.get("status", {}).get("conditions") or ()]
    return sum(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def as_list(manifests: list[dict[str, Any]]) -> str:
    """Manifests as one document for kubectl."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
