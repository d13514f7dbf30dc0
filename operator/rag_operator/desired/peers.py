"""Ends of allowed connections: pods of ours, the cluster's services, and whatever a URL of the spec names.

A NetworkPolicy knows addresses and labels, not names. A host outside the cluster is therefore allowed as "this port, anywhere but
link-local", where a cloud hands out its credentials; a Service inside the cluster as "the pods of its namespace". A name of two parts
may be either, `store.data` as well as `example.com`, so both are allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from rag_operator import names
from rag_operator.desired.context import Manifest, Owner, Surroundings

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
LINK_LOCAL: Final = {"0.0.0.0/0": ["169.254.0.0/16"], "::/0": ["fe80::/10"]}
DNS_PORT: Final = 53
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ssh": 22}


def tcp(*ports: int) -> list[Manifest]:
    """TCP ports."""
    return [{"port": port, "protocol": "TCP"} for port in ports]


def own(owner: Owner, *kinds: str) -> list[Manifest]:
    """Pods of this pipeline, of some kinds."""
    kind = {"key": names.LABEL_KIND, "operator": "In", "values": sorted(kinds)}
    return [{"podSelector": {"matchLabels": {names.LABEL_PIPELINE: owner.name}, "matchExpressions": [kind]}}]


def namespaces(*listed: str) -> list[Manifest]:
    """All pods of some namespaces; of every namespace when none is named."""
    if not listed:
        return [{"namespaceSelector": {}}]
    return [{"namespaceSelector": {"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "In", "values": sorted(listed)}]}}]


def pods_of(namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
    """Labelled pods of one namespace."""
    return [{"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}}, "podSelector": {"matchLabels": dict(labels)}}]


def anywhere() -> list[Manifest]:
    """Any address but link-local ones."""
    return [{"ipBlock": {"cidr": cidr, "except": excluded}} for cidr, excluded in LINK_LOCAL.items()]


def ranges(cidrs: Iterable[str]) -> list[Manifest]:
    """Address ranges."""
    return [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]


def api_server(surroundings: Surroundings) -> Manifest:
    """Egress to the API server."""
    return {"to": ranges(surroundings.api_server_cidrs) or anywhere(), "ports": tcp(*surroundings.api_server_ports)}


def dns(surroundings: Surroundings) -> Manifest:
    """Egress to the cluster's DNS, wherever its pods are."""
    both = [{"port": DNS_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return {"to": [*namespaces(), *ranges(surroundings.dns_cidrs)], "ports": both}


def url(owner: Owner, text: str) -> list[Manifest]:
    """Egress to what a URL names."""
    parts = urlsplit(text)
    return host(owner, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 443))


def address(owner: Owner, host_and_port: str) -> list[Manifest]:
    """Egress to `host:port`."""
    name, _, port = host_and_port.rpartition(":")
    return host(owner, name, int(port))


def host(owner: Owner, name: str, port: int) -> list[Manifest]:
    """Egress to one host. Of a Service only the namespace is known: its pods may listen on another port than it does."""
    fixed = _fixed_range(name)
    if fixed is not None:
        return [{"to": ranges([fixed]), "ports": tcp(port)}]
    outside: Manifest = {"to": anywhere(), "ports": tcp(port)}
    match name.rstrip(".").split("."):
        case [_]:
            return [{"to": namespaces(owner.namespace)}]
        case [_, namespace]:
            return [{"to": namespaces(namespace)}, outside]
        case [_, namespace, "svc", *_]:
            return [{"to": namespaces(namespace)}]
        case _:
            return [outside]


def _fixed_range(name: str) -> str | None:
    try:
        found = ip_address(name)
    except ValueError:
        return None
    return f"{found}/{found.max_prefixlen}"
