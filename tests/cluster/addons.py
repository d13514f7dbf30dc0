"""What runs in the cluster from the start: DNS, a default StorageClass, Prometheus and its adapter, an S3 server.

The manifests are YAML files with `$name` where a value belongs. Namespaces and names other tests rely on:

- `http://s3.storage.svc:9000` inside, `http://198.18.0.2:30900` from the host: S3 without authentication
- `monitoring/prometheus:9090`; it scrapes pods annotated `prometheus.io/scrape: "true"` (`/port`, `/path`)
- ConfigMap `monitoring/prometheus-adapter`, key `config.yaml`: the rules behind `external.metrics.k8s.io`
"""

from __future__ import annotations

import json
import socket
import textwrap
from collections.abc import Mapping
from string import Template
from typing import Protocol

from cluster.commands import ClusterError
from cluster.paths import PACKAGE
from cluster.processes import wait_until

MANIFESTS = PACKAGE / "manifests"
ADAPTER_RULES = PACKAGE.parents[1] / "charts" / "rag-operator" / "files" / "adapter-rules.yaml"  # what users are given
DEPLOYMENTS = (
    ("kube-system", "coredns"),
    ("monitoring", "prometheus"),
    ("monitoring", "prometheus-adapter"),
    ("storage", "s3"),
)
S3_NODE_PORT = 30900
FIELD_MANAGER = "rag-cluster"


class Kubectl(Protocol):
    """Runs kubectl against the cluster."""

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Return standard output."""


def apply(kubectl: Kubectl, values: Mapping[str, str]) -> None:
    """Apply every manifest, in the order of their names; what is there already stays."""
    known = {**values, "adapter_rules": textwrap.indent(ADAPTER_RULES.read_text(), "    ")}
    texts = [Template(path.read_text()).substitute(known) for path in sorted(MANIFESTS.glob("*.yaml"))]
    everything = "\n---\n".join(texts)
    command = ("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f", "-")
    kubectl(*command, stdin=everything)


def wait(kubectl: Kubectl, node: str, address: str) -> None:
    """Until the node is Ready, every add-on available, the metrics API answers and the host reaches the S3 server."""
    wait_until(lambda: _node_exists(kubectl, node), 60, f"node {node} to register")
    kubectl("wait", f"node/{node}", "--for=condition=Ready", "--timeout=90s")
    for namespace, name in DEPLOYMENTS:
        kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150)
    kubectl("wait", "apiservice/v1beta1.external.metrics.k8s.io", "--for=condition=Available", "--timeout=60s")
    # The node's proxy learns of a ready pod a moment after the API server does.
    wait_until(lambda: _connects(address, S3_NODE_PORT), 30, f"the S3 server at {address}:{S3_NODE_PORT}")


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def _node_exists(kubectl: Kubectl, node: str) -> bool:
    try:
        listed = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    except ClusterError:
        return False
    return any(item["metadata"]["name"] == node for item in listed)
