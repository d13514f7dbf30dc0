"""A namespace that is being deleted while a build of several pods runs in it.

Kubernetes keeps an ended pod of a Job that counts failures by share until another takes its place. In such a namespace none can be made,
and its Jobs are deleted only when it has no pod left: without us neither would ever be gone.
"""

from __future__ import annotations

from rag_operator.controller import pods
from rag_operator.controller.observe import Seen
from rag_operator.controller.writer import Writer
from rag_operator.kube.child import Child
from rag_operator.kube.resources import JOBS, PODS

_WHY = "its namespace is being deleted"


async def let_go(writer: Writer, seen: Seen) -> None:
    """Delete the Jobs whose pods are kept for others that cannot come."""
    keeping = _keeping(seen)
    if keeping and await writer.is_terminating(seen.key.namespace):
        for job in keeping:
            await writer.clear(job, _WHY)


def _keeping(seen: Seen) -> list[Child]:
    """Jobs with a pod that ended, was deleted, and is still there: for a moment every Job has such pods."""
    children = seen.children.values()
    kept = {child.owner for child in children if child.kind == PODS.kind and child.deleting and pods.ended(child)}
    return [child for child in children if child.kind == JOBS.kind and child.uid in kept and not child.deleting]
