"""Cgroups of pods: making a root for a kubelet, finding and removing what it leaves. Version 1, 2 and mixed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TOP = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb", "io")


def ensure(name: str) -> str:
    """Make the group `name` in every hierarchy, with every controller a kubelet asks for; return its name."""
    if (_TOP / "cgroup.controllers").exists():
        for controller in _CONTROLLERS:
            with suppress(OSError):  # a controller this kernel does not have
                (_TOP / "cgroup.subtree_control").write_text(f"+{controller}")
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # A new group of version 1 has no processors and no memory nodes until somebody says which.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / file).exists() and (group / file).exists():
                (group / file).write_text((hierarchy / file).read_text())
    return name


def of_pods(pods: Iterable[str]) -> list[Path]:
    """The groups of the pods with these uids in every hierarchy, deepest first."""
    names = {f"pod{pod}" for pod in pods}
    tops = [Path(where) for where, _, _ in os.walk(_TOP) if Path(where).name in names]
    return [Path(where) for top in tops for where, _, _ in os.walk(top, topdown=False)]


def members(groups: Iterable[Path]) -> list[int]:
    """The processes in these groups."""
    found: list[int] = []
    for group in groups:
        with suppress(OSError):
            found += [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    return found


def remove(groups: Iterable[Path], root: str) -> None:
    """Remove pods' groups and then the kubelet's own, unless another kubelet of this machine has pods in them."""
    kubepods = [hierarchy / root / "kubepods" for hierarchy in _hierarchies()]
    own = [group for top in kubepods for group in (top / "besteffort", top / "burstable", top)]
    for group in (*groups, *own, *(hierarchy / root for hierarchy in _hierarchies() if root)):
        with suppress(OSError):  # rmdir refuses what is not empty
            group.rmdir()


def _hierarchies() -> list[Path]:
    """The mount points of version 1 controllers and of version 2."""
    if (_TOP / "cgroup.controllers").exists():
        return [_TOP]
    return sorted(path for path in _TOP.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink())
