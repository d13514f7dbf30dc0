"""Where the demo runs: the cluster of `make cluster`, or with CLUSTER=current the one that KUBECONFIG points at.

On a cluster of your own these say what `make cluster` would know: DEMO_S3_OUTSIDE and DEMO_S3_INSIDE (an S3 endpoint as this machine and as
pods reach it), DEMO_GATEWAY_URL and DEMO_PREVIEW_URL (unless the first node's address and node ports will do), DEMO_HELM_VALUES (a values
file for the chart).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cluster import paths
from cluster.full import Cluster
from cluster.network import NODE_ADDRESS
from cluster.tools import binary
from demo.terminal import CommandError, Terminal, wait_for
from rag_operator import names
from rag_runtime.contracts import pods

NAMESPACE = "demo"
SYSTEM = "rag-system"
PIPELINE = "demo"
_SOURCE_ROOTS = ("operator", "images/common")


@dataclass(frozen=True)
class Place:
    """Addresses and programs as this machine reaches them."""

    kubeconfig: Path
    programs: Path  # a directory with kubectl, helm and kubectl-rag
    s3_outside: str
    s3_inside: str

    def environment(self) -> dict[str, str]:
        """What every command of the story needs."""
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": f"{self.programs}:{os.environ['PATH']}"}


def place() -> Place:
    """The place that CLUSTER names."""
    if os.environ.get("CLUSTER", "local") == "current":
        return Place(
            Path(_needed("KUBECONFIG")),
            programs(),
            _needed("DEMO_S3_OUTSIDE"),
            os.environ.get("DEMO_S3_INSIDE", os.environ["DEMO_S3_OUTSIDE"]),
        )
    return Place(Cluster().kubeconfig, programs(), f"http://{NODE_ADDRESS}:30900", "http://s3.storage.svc:9000")


def gateway_url(terminal: Terminal, namespace: str = NAMESPACE, pipeline: str = PIPELINE) -> str:
    """Base URL of the gateway from here: DEMO_GATEWAY_URL, or its node port on the first node's address."""
    if said := os.environ.get("DEMO_GATEWAY_URL"):
        return said
    return _node_port(terminal, namespace, f"{pipeline}-gateway", "DEMO_GATEWAY_URL")


def preview_url(terminal: Terminal, namespace: str = NAMESPACE, pipeline: str = PIPELINE) -> str:
    """Base URL of the gateway's preview port from here: DEMO_PREVIEW_URL, or a node port of the demo's own Service."""
    if said := os.environ.get("DEMO_PREVIEW_URL"):
        return said
    body = json.dumps(witness_service(namespace, pipeline))
    terminal.run("kubectl apply --server-side --field-manager=demo -f -", stdin=body, show=False)
    url = _node_port(terminal, namespace, f"{pipeline}-witness", "DEMO_PREVIEW_URL")
    wait_for("the preview port reachable", lambda: answers(url), timeout=60)
    return url


def answers(url: str) -> bool:
    """Whether a gateway answers there: a Service's port takes a moment to reach every node."""
    try:
        return httpx.get(f"{url}/v1/models", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def witness_service(namespace: str, pipeline: str) -> dict[str, Any]:
    """A Service that makes the preview port reachable from outside. A measurement needs it; a pipeline does not, and has none."""
    preview = {"name": "http", "port": pods.GATEWAY_PREVIEW_PORT, "targetPort": "preview"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{pipeline}-witness", "namespace": namespace},
        "spec": {"type": "NodePort", "selector": names.selector(pipeline, names.KIND_GATEWAY), "ports": [preview]},
    }


def _node_port(terminal: Terminal, namespace: str, service: str, variable: str) -> str:
    port = terminal.run(
        f"kubectl -n {namespace} get service {service} -o jsonpath='{{.spec.ports[?(@.name==\"http\")].nodePort}}'", show=False
    )
    address = terminal.run("kubectl get nodes -o jsonpath='{.items[0].status.addresses[?(@.type==\"InternalIP\")].address}'", show=False)
    if not port:
        raise CommandError(f"the Service {service} has no node port; set {variable} to a URL that reaches it")
    return f"http://{address}:{port}"


def programs() -> Path:
    """kubectl, helm and kubectl-rag side by side, so that `kubectl rag` is found."""
    directory = paths.cache_dir() / "demo-bin"
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("kubectl", "helm"):
        _replace(directory / name, lambda link, name=name: link.symlink_to(binary(name)))  # type: ignore[misc]
    roots = ":".join(str(paths.REPOSITORY / root) for root in _SOURCE_ROOTS)
    python = paths.REPOSITORY / ".venv/bin/python"
    text = f'#!/bin/sh\nPYTHONPATH={roots} exec {python} -m rag_operator.cli.main "$@"\n'
    _replace(directory / "kubectl-rag", lambda plugin: _script(plugin, text))
    return directory


def _script(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _replace(file: Path, make: Callable[[Path], object]) -> None:
    """Put a file in its place at once: somebody else may be running the one that is there."""
    fresh = file.with_suffix(f".{os.getpid()}")
    make(fresh)
    fresh.replace(file)


def _needed(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise CommandError(f"{name} is not set; with CLUSTER=current the demo needs it (see tests/demo/place.py)")
    return value
