"""Removing what a cluster leaves in the kernel and in containerd, whatever state it was killed in.

Nothing is found by a guess: processes by their mark, pods' processes as descendants of our shims or in the cgroups of
pods our kubelet knew, mounts by lying under our own directories.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cluster import processes
from cluster.commands import ClusterError, CommandError, run
from cluster.node import Node
from cluster.paths import cache_dir
from cluster.processes import wait_until

_CGROUPS = Path("/sys/fs/cgroup")
# Whoever starts others goes first: a kubelet restarts containers, a controller creates pods.
_ORDER = ("kubelet", "containerd", "kube-controller-manager", "volume-provisioner")


def stop_everything(state: Path, data: Path) -> None:
    """Stop all processes of the cluster, then undo mounts and cgroups."""
    pods = _pod_ids(data)
    ours = sorted(processes.running(state), key=lambda process: process.component not in _ORDER)
    inside = [pid for process in ours for pid in _descendants(process.pid)]
    for process in ours:
        _kill(process.pid)
    groups = _pod_cgroups(pods)
    for pid in (*inside, *_members(groups)):
        _kill(pid)
    everyone = [process.pid for process in ours] + inside
    wait_until(lambda: not any(processes.alive(pid) for pid in everyone) and not _members(groups), 10, "processes to end")
    _unmount((state, data, cache_dir() / "containerd"))
    _remove_cgroups(groups)
    _forget_containers(data)


def _unmount(directories: tuple[Path, ...]) -> None:
    for target in reversed(list(mounts_below(directories))):
        with suppress(CommandError):  # gone by itself: a dying shim unmounts, too
            run(["umount", "--lazy", target])
    remaining = list(mounts_below(directories))
    if remaining:
        raise ClusterError(f"failed to unmount {remaining}")


def remove_containers(node: Node) -> None:
    """Delete containers of an earlier cluster from containerd, which outlives clusters for the sake of its images."""
    for kind, remove in (("tasks", ("rm", "-f")), ("containers", ("rm",)), ("sandboxes", ("rm", "-f"))):
        names = node.ctr(kind, "ls", "-q").split() if kind != "sandboxes" else _sandboxes(node)
        for name in names:
            with suppress(CommandError):  # gone by itself meanwhile
                node.ctr(kind, *remove, name)


def _sandboxes(node: Node) -> list[str]:
    lines = node.ctr("sandboxes", "ls").splitlines()[1:]
    return [line.split()[0] for line in lines if line.strip()]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _pod_ids(data: Path) -> list[str]:
    pods = data / "kubelet" / "pods"
    return [pod.name for pod in pods.iterdir()] if pods.is_dir() else []


def _pod_cgroups(pods: list[str]) -> list[Path]:
    """The cgroups of these pods in every hierarchy, deepest first."""
    names = {f"pod{pod}" for pod in pods}
    tops = [Path(where) for where, below, _ in os.walk(_CGROUPS) if Path(where).name in names]
    return [Path(where) for top in tops for where, _, _ in os.walk(top, topdown=False)]


def _members(groups: list[Path]) -> list[int]:
    found: list[int] = []
    for group in groups:
        with suppress(OSError):
            found += [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    return found


def _remove_cgroups(groups: list[Path]) -> None:
    for group in groups:
        with suppress(OSError):
            group.rmdir()
    # The kubelet's own groups go when no other kubelet of this machine has pods in them: rmdir refuses otherwise.
    for top in (*_CGROUPS.glob("kubepods"), *_CGROUPS.glob("*/kubepods")):
        for group in (top / "besteffort", top / "burstable", top):
            with suppress(OSError):
                group.rmdir()


def mounts_below(below: tuple[Path, ...]) -> Iterator[str]:
    """Mount points under these directories, in the order they were made."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split()[4].encode().decode("unicode_escape")
        if any(Path(target).is_relative_to(directory) for directory in below):
            yield target


def _forget_containers(data: Path) -> None:
    """Files outside our own directories: paths that the kubelet and the CNI library have built in."""
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and str(data) in str(link.readlink()):
            link.unlink()
    results = Path("/var/lib/cni/results")
    for sandbox in [file.name.split("-")[2] for file in results.glob("rag-cluster-*")]:
        for result in results.glob(f"*-{sandbox}-*"):
            result.unlink()
    listening = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()}
    for socket in Path("/run/containerd/s").glob("*"):
        if str(socket) not in listening:  # its shim is gone; shims of another containerd listen
            socket.unlink()
    store = cache_dir() / "containerd"
    for kind in ("containers", "sandboxes"):
        shutil.rmtree(store / "io.containerd.grpc.v1.cri" / kind, ignore_errors=True)
