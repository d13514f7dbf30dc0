"""Which namespaces may be looked into: an operator with rights in single namespaces only loses those with the namespace."""

from __future__ import annotations

from typing import Final

from rag_operator import errors
from rag_operator.kube.client import Client
from rag_operator.kube.resources import PIPELINES

LEFT_ALONE: Final = (
    "namespace %s is left alone: not even pipelines may be listed in it. "
    "Take it out of watch.namespaces, or give the operator its rights back"
)


async def is_out_of_reach(client: Client, namespace: str) -> bool:
    """Whether not even pipelines may be listed in a namespace. A Role that lacks another kind is broken, and what it hides is there."""
    try:
        await client.list(PIPELINES, namespace)
    except errors.NotFound:
        return False  # the definition is gone: nothing is hidden
    except errors.Forbidden as error:
        return error.status == 403  # 401 says nothing of the namespace
    return False
