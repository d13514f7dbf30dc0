"""Debian packages the cluster needs on the host, installed when one of their files is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cluster.commands import ClusterError, run
from cluster.steps import step

# package -> a file that proves it is there
_NEEDED = {
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "conntrack": "/usr/sbin/conntrack",
    "nftables": "/usr/sbin/nft",
    "buildah": "/usr/bin/buildah",
    "debootstrap": "/usr/sbin/debootstrap",
    "iproute2": "/usr/bin/ip",
    "openssl": "/usr/bin/openssl",
}


# What only some tests need.
_ON_DEMAND = {"docker-registry": "/usr/bin/docker-registry"}


def missing(needed: Mapping[str, str] = _NEEDED) -> list[str]:
    """The packages whose file is not there."""
    return [package for package, file in needed.items() if not Path(file).exists()]


def ensure(package: str) -> Path:
    """Install one of the packages that are not needed by everybody; return its program."""
    _install(missing({package: _ON_DEMAND[package]}))
    return Path(_ON_DEMAND[package])


def install_missing() -> None:
    """Install what the cluster needs with apt; nothing missing costs nothing."""
    _install(missing())


def _install(packages: list[str]) -> None:
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"these programs are missing and there is no apt-get to install them: {', '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"install {', '.join(packages)}"):
        run(["apt-get", "update", "-qq"], env=quiet)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)
