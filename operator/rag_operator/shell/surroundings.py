"""What the cluster around the operator is like, asked at the start and now and then: the API server of a managed cluster moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from rag_operator import errors
from rag_operator.desired.context import Surroundings
from rag_operator.kube.client import Client
from rag_operator.kube.resources import ENDPOINT_SLICES, NAMESPACES
from rag_operator.settings import Settings

__all__ = ["Discovery", "Surroundings", "discover"]

Discovery = Callable[[], Awaitable[Surroundings]]
_CLUSTER: Final = "kube-system"  # its UID names the cluster


def discover(client: Client, settings: Settings) -> Discovery:
    """A look around that can be repeated until the server answers."""

    async def look() -> Surroundings:
        cidrs, ports = await _api_server(client)
        labels = dict(pair.split("=", 1) for pair in settings.operator_labels)
        defaults = Surroundings()
        return Surroundings(
            image_pull_policy=settings.image_pull_policy,
            log_level=settings.log_level.upper(),
            cluster=await _cluster(client),
            api_server_cidrs=settings.api_server_cidrs or cidrs,
            api_server_ports=ports or defaults.api_server_ports,
            dns_cidrs=settings.dns_cidrs,
            operator_namespace=settings.namespace,
            scraper_namespaces=settings.scraper_namespaces,
            operator_labels=labels or defaults.operator_labels,
        )

    return look


async def _cluster(client: Client) -> str:
    try:
        found = await client.get(NAMESPACES, None, _CLUSTER)
    except errors.Forbidden:
        return ""
    return str(found["metadata"]["uid"]) if found is not None else ""


async def _api_server(client: Client) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Addresses and ports of the API server, from the slices of the Service `kubernetes`."""
    try:
        slices = await client.list(ENDPOINT_SLICES, "default", labels="kubernetes.io/service-name=kubernetes")
    except (errors.Forbidden, errors.NotFound):
        return (), ()
    addresses = {address for found in slices for endpoint in found.get("endpoints") or () for address in endpoint["addresses"]}
    ports = {int(port["port"]) for found in slices for port in found.get("ports") or () if port.get("port")}
    cidrs = tuple(sorted(f"{address}/{128 if ':' in address else 32}" for address in addresses))
    return cidrs, tuple(sorted({443, *ports})) if ports else ()
