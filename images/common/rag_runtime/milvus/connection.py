"""Connecting: where a Milvus is, who we are there, and how long a call may take."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from rag_runtime.milvus.errors import UnavailableError, translated

# The client logs each failed call with its traceback before it raises; whoever catches decides what is worth a line.
for _name in ("pymilvus", "pymilvus.decorators"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

CONNECT_SECONDS = 15.0
CALL_SECONDS = 60.0
_AGAIN_AFTER = 0.25

# gRPC's bandwidth probe pings while a large answer is read; Milvus counts these pings and hangs up with "Too many pings" when the reader
# is slow. Without the probe the window is fixed, so it is set wide. Connections are not shared, so one client's pings end no other's calls.
CHANNEL_OPTIONS = {"grpc.http2.bdp_probe": 0, "grpc.http2.lookahead_bytes": 1 << 20, "grpc.use_local_subchannel_pool": 1}


@dataclass(frozen=True)
class Tls:
    """TLS to the server. Without `authority` (a PEM file) the system's authorities are trusted."""

    authority: Path | None = None
    server_name: str | None = None


@dataclass(frozen=True)
class Target:
    """A database of a Milvus. `secret` is read at each connect: a token, or `username` and `password`."""

    address: str
    database: str = "default"
    tls: Tls | None = None
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)


def secret_of(directory: Path | None) -> dict[str, str]:
    """The keys of a mounted Secret that a Milvus connection knows; empty without a directory."""
    if directory is None:
        return {}
    names = ("token", "username", "password")
    return {name: (directory / name).read_text().strip() for name in names if (directory / name).is_file()}


def connect(target: Target, *, timeout: float = CONNECT_SECONDS) -> MilvusClient:
    """A client with a connection of its own. Raises `UnavailableError` when nobody answers within `timeout` seconds.

    Who is not let in is told at once: `LoginError`.
    """
    until = time.monotonic() + timeout
    while True:
        try:
            with translated(f"connect to Milvus at {target.address}"):
                return MilvusClient(**_arguments(target), dedicated=True, timeout=max(until - time.monotonic(), _AGAIN_AFTER))
        except UnavailableError:
            if time.monotonic() + _AGAIN_AFTER >= until:
                raise
            time.sleep(_AGAIN_AFTER)  # refused at once: the server starts, or hung up on us


def _arguments(target: Target) -> dict[str, Any]:
    scheme = "https" if target.tls else "http"
    arguments: dict[str, Any] = {"uri": f"{scheme}://{target.address}", "db_name": target.database, **_login(target.secret)}
    arguments["grpc_options"] = CHANNEL_OPTIONS
    if target.tls:
        arguments["secure"] = True
        if target.tls.authority is not None:
            arguments["server_pem_path"] = str(target.tls.authority)
        if target.tls.server_name is not None:
            arguments["server_name"] = target.tls.server_name
    return arguments


def _login(secret: Mapping[str, str]) -> dict[str, str]:
    if token := secret.get("token"):
        return {"token": token}
    if "username" in secret:
        return {"token": f"{secret['username']}:{secret.get('password', '')}"}
    return {}
