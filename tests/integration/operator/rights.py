"""Roles for a user of the operator, as the chart gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rag_operator.desired import permissions
from rag_operator.kube.client import Client

_GROUP = "rbac.authorization.k8s.io"


def bind(user: str, namespace: str | None, rules: Iterable[permissions.Rule], name: str = "") -> list[dict[str, Any]]:
    """A role with rules, and who has it; the user's own name is theirs where nothing else is said."""
    kind, place = ("Role", {"namespace": namespace}) if namespace else ("ClusterRole", {})
    meta = {"name": name or user, **place}
    return [
        {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": meta, "rules": permissions.rendered(rules)},
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": meta["name"]},
            "subjects": [{"kind": "User", "name": user, "apiGroup": _GROUP}],
        },
    ]


async def give(client: Client, manifest: dict[str, Any]) -> None:
    """Make a role or a binding."""
    namespace = manifest["metadata"].get("namespace")
    plural = f"{manifest['kind'].lower()}s"
    await client.call(f"/apis/{_GROUP}/v1/" + (f"namespaces/{namespace}/{plural}" if namespace else plural), manifest)
