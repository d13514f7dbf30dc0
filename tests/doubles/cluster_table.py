"""A routing table in a ConfigMap of a real API server, and a user who may do what a gateway's role allows and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes.aio import client, config

from cluster.api_only import ApiServer
from rag_runtime.contracts.routing import TABLE_KEY, RoutingTable

NAME = "handbook-routing"


class ClusterTable:
    """`async with ClusterTable(api_server, namespace) as cluster`: the namespace and the role are there, the ConfigMap is not yet."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self.namespace = namespace
        self._user = f"gateway-{namespace}"

    async def __aenter__(self) -> Self:
        self._server.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": self._manifests()}))
        configuration = client.Configuration()
        await config.load_kube_config(str(self._server.kubeconfig), client_configuration=configuration)
        self._client = client.ApiClient(configuration)
        self._api = client.CoreV1Api(self._client)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a gateway needs to follow this table."""
        kubeconfig: Path = self._server.kubeconfig_for(self._user)
        return {"RAG_NAMESPACE": self.namespace, "RAG_TABLE_CONFIGMAP": NAME, "KUBECONFIG": str(kubeconfig)}

    async def create(self, table: RoutingTable) -> None:
        """Make the ConfigMap."""
        await self._api.create_namespaced_config_map(self.namespace, {"metadata": {"name": NAME}, "data": {TABLE_KEY: table.to_json()}})

    async def publish(self, table: RoutingTable) -> None:
        """Write `table`, as the operator does: one request."""
        await self.write(table.to_json())

    async def write(self, text: str) -> None:
        """Write any text where the table is."""
        body = [{"op": "add", "path": "/data", "value": {TABLE_KEY: text}}]
        await self._api.patch_namespaced_config_map(NAME, self.namespace, body, _content_type="application/json-patch+json")

    async def delete(self) -> None:
        """Delete the ConfigMap."""
        await self._api.delete_namespaced_config_map(NAME, self.namespace)

    def _manifests(self) -> list[dict[str, Any]]:
        here = {"name": "gateway", "namespace": self.namespace}
        rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME], "verbs": ["get", "watch"]}
        group = "rbac.authorization.k8s.io"
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": here, "rules": [rule]},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": here,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "gateway"},
                "subjects": [{"apiGroup": group, "kind": "User", "name": self._user}],
            },
        ]
