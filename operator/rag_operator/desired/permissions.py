"""Who may do what: the one table from which the chart's roles and every pipeline's roles are made.

Nothing is a wildcard. A role can only be given by somebody who has its rights, so the operator's table holds those of the data plane too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rag_operator import names
from rag_operator.desired.context import Manifest, Owner
from rag_operator.desired.meta import metadata

WATCH: Final = ("list", "watch")
READ: Final = ("get", *WATCH)
# Server-side apply is a patch, and needs create where the object is new.
APPLY: Final = (*WATCH, "create", "patch")
OWN: Final = (*APPLY, "delete")
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Rule:
    """One line of the table. `why` is for the reader of the role."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str = ""
    only: tuple[str, ...] = ()  # resourceNames

    def rendered(self) -> Manifest:
        """The rule as RBAC writes it."""
        found: Manifest = {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs)}
        return {**found, "resourceNames": list(self.only)} if self.only else found


# In every namespace that has pipelines.
OPERATOR: Final = (
    Rule(names.GROUP, (names.PIPELINES,), (*READ, "patch"), "what users want; the finalizer of those with an external store"),
    Rule(names.GROUP, (f"{names.PIPELINES}/status", f"{names.INDEXES}/status"), ("patch",), "status; indexers are given the second"),
    Rule(names.GROUP, (f"{names.PIPELINES}/finalizers",), ("update",), "owners that block deletion, where the cluster asks for this"),
    Rule(names.GROUP, (names.INDEXES,), ("get", *OWN), "indexes; the finalizer of those in an external store"),
    Rule("apps", ("controllerrevisions",), ("get", *OWN), "recorded revisions; get: whose it is that exists already"),
    Rule("apps", ("deployments",), OWN, "what serves"),
    Rule("apps", ("statefulsets",), APPLY, "standalone Milvus, which is never deleted but with its pipeline"),
    Rule("batch", ("jobs",), (*READ, "create", "delete"), "builds, copies, drops, evaluations, which never change"),
    Rule("autoscaling", ("horizontalpodautoscalers",), OWN, "autoscalers"),
    Rule("policy", ("poddisruptionbudgets",), OWN, "disruption budgets"),
    Rule("networking.k8s.io", ("ingresses", "networkpolicies"), OWN, "the way to the gateway, and no other"),
    Rule(_RBAC, ("roles", "rolebindings"), OWN, "rights of gateways and indexers, none beyond the operator's own"),
    Rule(
        "", ("configmaps", "persistentvolumeclaims"), ("get", *APPLY), "routing tables, volumes; what specs refer to; none is ever deleted"
    ),
    Rule("", ("serviceaccounts",), OWN, "accounts of gateways and indexers"),
    Rule("", ("services",), ("get", *OWN, "update"), "Services; apply cannot take back a port that somebody renumbered"),
    Rule("", ("pods",), ("list", "watch"), "why something is not ready, and who still serves an old epoch"),
    Rule("", ("events",), ("list", "create"), "transitions; why a pod that cannot start does not"),
    Rule("monitoring.coreos.com", ("podmonitors",), OWN, "monitors, where prometheus-operator is installed"),
    Rule("milvus.io", ("milvuses",), APPLY, "clusters of Milvus, where milvus-operator is installed"),
)
# In the whole cluster, also when the operator looks after some namespaces only.
DISCOVERY: Final = (
    Rule("", ("namespaces",), ("get",), "its UID is the cluster's own id", only=("kube-system",)),
    Rule("apiextensions.k8s.io", ("customresourcedefinitions",), ("list", "watch"), "kinds that are installed later"),
)
# In the namespace `default`.
API_SERVER: Final = (Rule("discovery.k8s.io", ("endpointslices",), ("list",), "addresses of the API server, for NetworkPolicies"),)

EDITOR: Final = (Rule(names.GROUP, (names.PIPELINES,), ("create", "delete", "deletecollection", "patch", "update"), "pipelines"),)
VIEWER: Final = (Rule(names.GROUP, (names.PIPELINES, names.INDEXES), READ, "pipelines and their indexes"),)


def leader(lease: str) -> tuple[Rule, ...]:
    """In the operator's own namespace; Lease and Deployment have one name.

    What is created has no name yet, so that right cannot be limited to one.
    """
    return (
        Rule("coordination.k8s.io", ("leases",), ("create",), "leadership"),
        Rule("coordination.k8s.io", ("leases",), ("get", "update"), "leadership", only=(lease,)),
        Rule("apps", ("deployments",), ("patch",), "stopping itself when the chart is removed", only=(lease,)),
    )


def gateway_rules(table: str) -> tuple[Rule, ...]:
    """A gateway reads its one routing table."""
    return (Rule("", ("configmaps",), ("get", "watch"), "the routing table", only=(table,)),)


def indexer_rules(indexes: Sequence[str], configmaps: Sequence[str]) -> tuple[Rule, ...]:
    """Indexers follow the indexes, report about those of their pipeline, and read the ConfigMaps that are sources."""
    rules = [Rule(names.GROUP, (names.INDEXES,), READ, "what is to be indexed")]
    if indexes:
        own = tuple(sorted(indexes))
        rules.append(Rule(names.GROUP, (f"{names.INDEXES}/status",), ("patch",), "progress and freshness", only=own))
    if configmaps:
        rules.append(Rule("", ("configmaps",), ("get",), "sources", only=tuple(sorted(set(configmaps)))))
    return tuple(rules)


def rendered(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The table as RBAC writes it."""
    return [rule.rendered() for rule in rules]


def granted(owner: Owner, name: str, kind: str, rules: Iterable[Rule], account: str | None) -> list[Manifest]:
    """An account with the rules. A user's own `account` gets them instead, and none is made."""
    role: Manifest = {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata(owner, name, kind), "rules": rendered(rules)}
    binding: Manifest = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata(owner, name, kind),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account or name, "namespace": owner.namespace}],
    }
    made: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(owner, name, kind),
        "automountServiceAccountToken": False,  # the pods ask for it
    }
    return [role, binding] if account else [made, role, binding]
