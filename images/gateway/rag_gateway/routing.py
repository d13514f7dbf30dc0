"""Which revision answers whom. Pure.

Weighted rendezvous hashing: every route scores `-weight / ln(u)` with `u` uniform in (0, 1) from the hash of (salt, revision, key), and
the highest score answers. A key's chance is proportional to the weight, the table's order does not matter, and when one weight rises
while others fall, the only keys that move are moved to the one that rises. A new salt draws anew.
"""

from __future__ import annotations

import hashlib
import math

from rag_runtime.contracts.routing import Route, RoutingTable

from .errors import NotFoundError, UnavailableError


def _uniform(salt: str, revision: str, key: str) -> float:
    digest = hashlib.blake2b(f"{len(salt)}:{salt}{len(revision)}:{revision}{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / (2**64 + 2)


def _score(route: Route, salt: str, key: str) -> float:
    return -route.weight / math.log(_uniform(salt, route.revision, key))


def pick(table: RoutingTable, key: str) -> Route:
    """The route that answers `key`. Raises `UnavailableError` when no route has weight."""
    serving = [route for route in table.routes if route.weight > 0]
    if not serving:
        raise UnavailableError(f"pipeline {table.pipeline}: no revision serves yet", code="no_revision", retry_after=5)
    if len(serving) == 1:
        return serving[0]
    return max(serving, key=lambda route: _score(route, table.salt, key))


def named(table: RoutingTable, revision: str) -> Route:
    """The route of one revision, whatever its weight. Raises `NotFoundError` naming what there is."""
    for route in table.routes:
        if route.revision == revision:
            return route
    known = ", ".join(route.revision for route in table.routes) or "none"
    raise NotFoundError(f"revision {revision!r} is not in the routing table, known: {known}", code="unknown_revision")
