"""A namespace of the real cluster and the few calls tests make in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cluster.commands import ClusterError
from cluster.full import Cluster


@dataclass(frozen=True)
class Namespace:
    """Every call raises ClusterError with kubectl's words when it fails."""

    name: str
    cluster: Cluster

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        return self.cluster.kubectl("--namespace", self.name, *arguments, stdin=stdin, timeout=timeout)

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(manifest) for manifest in manifests))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json", "--show-managed-fields"))
        return found

    def listed(self, kinds: str, label: str) -> list[dict[str, Any]]:
        """Every object of these kinds that a label selector matches."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kinds, "-l", label, "-o", "json"))["items"]
        return found

    def exists(self, kind: str, name: str) -> bool:
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "-o", "name").strip())

    def wait(self, target: str, condition: str, timeout: int = 120) -> None:
        self.kubectl("wait", target, f"--for={condition}", f"--timeout={timeout}s", timeout=timeout + 10)

    def run_python(self, pod: str, code: str) -> str:
        """Run Python code in a pod that has an interpreter."""
        return self.kubectl("exec", pod, "--", "python", "-c", code)


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether the kubelet calls a pod ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


def has_service_account(cluster: Cluster, namespace: str) -> bool:
    """Whether pods can be created in the namespace: before, their admission is refused."""
    try:
        cluster.kubectl("--namespace", namespace, "get", "serviceaccount", "default")
    except ClusterError:
        return False
    return True
