"""buildah with a store of its own in the cache, and access to the package index as the host has it.

What the host's pip needs to reach its index (certificates, configuration) is mounted into a build and never written into
an image.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.commands import run
from cluster.paths import cache_dir

_MOUNTED = Path("/run/host-pip")


def buildah(*arguments: str | Path, timeout: float = 1800) -> str:
    """Run buildah on our store."""
    store = cache_dir() / "buildah"
    places: list[str | Path] = ["--root", store / "storage", "--runroot", store / "run", "--storage-driver", "overlay"]
    return run(["buildah", *places, *arguments], timeout=timeout)


@contextmanager
def package_index() -> Iterator[list[str]]:
    """Arguments of `buildah bud` that make pip inside the build work as it does outside."""
    with tempfile.TemporaryDirectory() as directory:
        settings, mounts = _host_settings()
        configuration = Path(directory) / "pip.conf"
        configuration.write_text("\n".join(["[global]", *(f"{key} = {value}" for key, value in settings.items())]) + "\n")
        configuration.chmod(0o644)
        pip_cache = cache_dir() / "pip"
        pip_cache.mkdir(parents=True, exist_ok=True)
        volumes = {configuration: "/etc/pip.conf", pip_cache: "/root/.cache/pip", **mounts}
        yield [f"--volume={source}:{target}" for source, target in volumes.items()]


def _host_settings() -> tuple[dict[str, str], dict[Path, str]]:
    """pip's effective settings with local paths replaced by where they are mounted, and those mounts."""
    settings: dict[str, str] = {}
    mounts: dict[Path, str] = {}
    for line in run([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        key, _, value = line.partition("=")
        name, value = key.rpartition(".")[2], value.strip("'\"")
        source = Path(value)
        if source.is_absolute():
            if not source.exists():
                continue
            mounts[source] = str(_MOUNTED / name)
            value = mounts[source]
        settings[name] = value
    return settings, mounts
