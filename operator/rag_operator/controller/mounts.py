"""Which Secrets the gateways of a pipeline have as files. A table that names others would be answered with errors. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from rag_operator import names
from rag_operator.controller import pods
from rag_operator.desired import credentials, routing
from rag_operator.desired.credentials import Part
from rag_operator.kube.child import Child, Children
from rag_operator.kube.resources import DEPLOYMENTS, PODS
from rag_operator.model.revision import Revision
from rag_runtime.contracts.routing import RoutingTable


def lacking(children: Children, revision: Revision) -> tuple[str, ...]:
    """The Secrets that a revision is answered with and that not every gateway has mounted as the revision needs them."""
    needed = credentials.of_answering(revision.spec)
    missing = {part.secret for pod in _answering(children) for part in needed if part not in pod.credentials()} if needed else set()
    return tuple(sorted(missing))


def unmounted(children: Children, revisions: Iterable[Revision], stored: RoutingTable | None) -> dict[str, str]:
    """Revisions that cannot enter the stored table yet, each with the reason. Those that are in it go on as it says.

    Without a table no gateway is ready, and waiting for their update would be waiting for ever.
    """
    if stored is None:
        return {}
    there = {route.revision for route in stored.routes}
    waiting = {revision.name: lacking(children, revision) for revision in revisions if revision.name not in there}
    return {name: words(secrets) for name, secrets in waiting.items() if secrets}


def words(secrets: Collection[str]) -> str:
    """What is waited for."""
    return f"not every gateway has Secret {', '.join(secrets)} mounted yet"


def standing(pipeline: str, children: Children, table: RoutingTable | None, weights: Mapping[str, int]) -> tuple[Part, ...]:
    """What the gateway's Deployment mounts and the routes of these revisions name: it stays until the table says otherwise."""
    deployment = children.get((DEPLOYMENTS.kind, names.gateway(pipeline)))
    if deployment is None or table is None:
        return ()
    named = {directory for route in table.routes if route.revision in weights for directory in routing.directories(route)}
    return tuple(sorted(part for part in deployment.credentials() if part.directory in named))


def _answering(children: Children) -> Iterator[Child]:
    """Pods that take requests, or may again. One that ends and is not ready gets none any more."""
    for child in children.values():
        if child.kind == PODS.kind and child.labels.get(names.LABEL_KIND) == names.KIND_GATEWAY and _may_answer(child):
            yield child


def _may_answer(pod: Child) -> bool:
    return not pods.ended(pod) and (pods.ready(pod) or not pod.deleting)
