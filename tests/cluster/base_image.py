"""The base image of local builds: Debian trixie with its Python 3.13, made with debootstrap.

Dockerfiles say `ARG BASE=python:3.13-slim-trixie`; this image takes its place where no registry is at hand. It answers to
the same commands: `python`, `pip`, `python -m venv`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from cluster.buildah import buildah
from cluster.commands import run
from cluster.paths import cache_dir, exclusive, scratch_directory
from cluster.steps import step

_SUITE = "trixie"
_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_REVISION = 1  # raise it when what `_finish` does changes


def key() -> str:
    """Changes when the image's content would."""
    return hashlib.sha256(f"{_SUITE} {_PACKAGES} {_REVISION}".encode()).hexdigest()[:12]


def reference() -> str:
    """The image's name in the local store."""
    return f"localhost/rag-base:{key()}"


def ensure() -> str:
    """Make the image if the store does not have it; return its name."""
    with exclusive(cache_dir() / ".base-image.lock"):
        if not _present():
            with step("make the base image with debootstrap"):
                _make()
    return reference()


def _present() -> bool:
    return bool(buildah("images", "--quiet", "--filter", f"reference={reference()}").strip())


def _make() -> None:
    with scratch_directory() as directory:
        root = directory / "root"
        mirror = os.environ.get("DEBIAN_MIRROR")
        command: list[str | Path] = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, root]
        run([*command, *([mirror] if mirror else [])], timeout=900)
        _finish(root)
        container = buildah("from", "scratch").strip()
        buildah("add", "--quiet", container, root, "/")
        buildah("config", "--env", "LANG=C.UTF-8", "--cmd", "python", container)
        buildah("commit", "--quiet", "--rm", container, reference())


def _finish(root: Path) -> None:
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / waste, ignore_errors=True)
        (root / waste).mkdir(parents=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    # As in the official image, the system's Python is there to be installed into.
    for marker in (root / "usr/lib").glob("python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    # A mount point, so that mounting over it during a build leaves no trace in a layer.
    (root / "etc/pip.conf").touch()
