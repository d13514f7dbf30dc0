"""The kinds the operator reads or writes, and where each lives in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rag_operator import names


@dataclass(frozen=True)
class Resource:
    """One kind. `optional`: its CRD may be missing."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    optional: bool = False

    @property
    def api_version(self) -> str:
        """`v1`, or `<group>/<version>`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL's path of a collection or of one object."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [base, *(("namespaces", namespace) if namespace and self.namespaced else ()), self.plural]
        return "/".join([*parts, *([name] if name else []), *([subresource] if subresource else [])])


PIPELINES: Final = Resource(names.GROUP, names.VERSION, names.PIPELINES, names.PIPELINE_KIND)
INDEXES: Final = Resource(names.GROUP, names.VERSION, names.INDEXES, names.INDEX_KIND)
CONTROLLER_REVISIONS: Final = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SERVICES: Final = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PODS: Final = Resource("", "v1", "pods", "Pod")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
STATEFUL_SETS: Final = Resource("apps", "v1", "statefulsets", "StatefulSet")
JOBS: Final = Resource("batch", "v1", "jobs", "Job")
AUTOSCALERS: Final = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
INGRESSES: Final = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
POLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
POD_MONITORS: Final = Resource("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor", optional=True)
MILVUS: Final = Resource("milvus.io", "v1beta1", "milvuses", "Milvus", optional=True)

EVENTS: Final = Resource("", "v1", "events", "Event")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")

# What a pipeline owns, directly or through a workload; all carry the pipeline's label and are watched by it.
CHILDREN: Final = (
    CONTROLLER_REVISIONS,
    INDEXES,
    CONFIG_MAPS,
    SERVICES,
    SERVICE_ACCOUNTS,
    CLAIMS,
    PODS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    JOBS,
    AUTOSCALERS,
    BUDGETS,
    INGRESSES,
    POLICIES,
    ROLES,
    ROLE_BINDINGS,
    POD_MONITORS,
    MILVUS,
)
WATCHED: Final = (PIPELINES, *CHILDREN)
_BY_KIND: Final = {(resource.api_version, resource.kind): resource for resource in (*WATCHED, EVENTS, LEASES, NAMESPACES)}


def of(manifest: Mapping[str, Any]) -> Resource:
    """The resource of a manifest. Raises `KeyError` for a kind the operator never writes."""
    return _BY_KIND[manifest["apiVersion"], manifest["kind"]]
