"""Debian packages the cluster needs on the host, installed when one of their files is missing."""

from __future__ import annotations

import os
import shutil
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


def missing() -> list[str]:
    """The packages whose file is not there."""
    return [package for package, file in _NEEDED.items() if not Path(file).exists()]


def install_missing() -> None:
    """Install what is missing with apt; nothing missing costs nothing."""
    packages = missing()
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"these programs are missing and there is no apt-get to install them: {', '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"install {', '.join(packages)}"):
        run(["apt-get", "update", "-qq"], env=quiet)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)
