"""Deleting namespaces, as a team does that leaves."""

from __future__ import annotations

from integration.operator.waiting import until
from rag_operator.kube.client import Client
from rag_operator.kube.resources import NAMESPACES


async def delete(client: Client, name: str) -> None:
    """Begin to delete a namespace and everything in it; one that is gone is no error."""
    body = await client.get(NAMESPACES, None, name)
    if body is not None:
        await client.delete(NAMESPACES, None, name, uid=body["metadata"]["uid"])


async def until_gone(client: Client, name: str) -> None:
    """Wait until nothing of it is left."""

    async def gone() -> bool:
        return await client.get(NAMESPACES, None, name) is None

    await until(f"namespace {name} is gone", gone)
