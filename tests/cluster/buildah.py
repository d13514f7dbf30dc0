"""buildah with a store of its own in the cache, and access to the package index as the host has it.

What the host's pip needs to reach its index (certificates, configuration) is mounted into a build and never written into
an image: everything hangs below one directory that the base image has anyway, so not even mount points stay behind.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.commands import run
from cluster.paths import cache_dir

_MOUNTED = Path("/mnt")


def buildah(*arguments: str | Path, timeout: float = 1800) -> str:
    """Run buildah on our store."""
    store = cache_dir() / "buildah"
    places: list[str | Path] = ["--root", store / "storage", "--runroot", store / "run", "--storage-driver", "overlay"]
    return run(["buildah", *places, *arguments], timeout=timeout)


@contextmanager
def package_index() -> Iterator[list[str]]:
    """Arguments of `buildah bud` that make pip inside the build work as it does outside."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        pip_cache = cache_dir() / "pip"
        pip_cache.mkdir(parents=True, exist_ok=True)
        (directory / "cache").mkdir()
        settings, mounts = _host_settings(directory)
        settings["cache-dir"] = str(_MOUNTED / "cache")
        configuration = directory / "pip.conf"
        configuration.write_text("\n".join(["[global]", *(f"{key} = {value}" for key, value in settings.items())]) + "\n")
        configuration.chmod(0o644)
        volumes = {directory: _MOUNTED, pip_cache: _MOUNTED / "cache", configuration: "/etc/pip.conf", **mounts}
        yield [f"--volume={source}:{target}" for source, target in volumes.items()]


def _host_settings(directory: Path) -> tuple[dict[str, str], dict[Path, Path]]:
    """pip's effective settings; local files are copied into `directory`, local directories are to be mounted there."""
    settings: dict[str, str] = {}
    mounts: dict[Path, Path] = {}
    for line in run([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        key, _, value = line.partition("=")
        name, value = key.rpartition(".")[2], value.strip("'\"")
        source = Path(value)
        if source.is_absolute():
            if source.is_dir():
                (directory / name).mkdir()
                mounts[source] = _MOUNTED / name
            elif source.is_file():
                shutil.copy(source, directory / name)
            else:
                continue
            value = str(_MOUNTED / name)
        settings[name] = value
    return settings, mounts
