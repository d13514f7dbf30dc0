"""The values that builders take beside revisions and plan: whose children they are, and what the cluster around them is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rag_operator.api.v1alpha1.index import IndexIdentity
from rag_operator.api.v1alpha1.index_status import Work

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Owner:
    """The pipeline that owns every child."""

    name: str
    namespace: str
    uid: str

    def host(self, service: str) -> str:
        """The DNS name of a Service of this namespace, without the cluster's domain, which nobody tells us."""
        return f"{service}.{self.namespace}.svc"


@dataclass(frozen=True)
class Surroundings:
    """What the cluster offers and how it is laid out; from settings and discovery, the same for all pipelines."""

    image_pull_policy: str = "IfNotPresent"
    log_level: str = "INFO"
    cluster: str = ""  # UID of kube-system: collections carry it, so that two clusters on one Milvus never drop each other's
    api_server_cidrs: tuple[str, ...] = ()  # empty: anywhere but link-local
    api_server_ports: tuple[int, ...] = (443, 6443)
    dns_cidrs: tuple[str, ...] = ()  # beside the cluster's own pods: a node-local cache
    operator_namespace: str = "rag-system"
    operator_labels: Mapping[str, str] = field(default_factory=lambda: {"app.kubernetes.io/name": "rag-operator"})
    scraper_namespaces: tuple[str, ...] = ()  # who may read metrics; empty: every namespace
    pod_monitors: bool = False  # the CRD of prometheus-operator exists


@dataclass(frozen=True)
class IndexIntent:
    """What one index is to do now; `identity` is what `rollout.identity.declared_index` says of its revision."""

    identity: IndexIdentity
    work: Work
    collecting: bool = False
    approved_deletions: str | None = None
