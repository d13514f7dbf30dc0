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
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups, processes
from cluster.commands import ClusterError, CommandError, run
from cluster.node import Node
from cluster.processes import wait_until

# Whoever starts others goes first: a kubelet restarts containers, a controller creates pods.
_ORDER = ("kubelet", "containerd", "kube-controller-manager", "volume-provisioner")


@dataclass(frozen=True)
class Traces:
    """Where a cluster leaves traces: its directories, the name of its pod network, the root of its cgroups."""

    state: Path
    data: Path
    store: Path
    network: str
    cgroup_root: str


def stop_everything(where: Traces) -> None:
    """Stop all processes of the cluster, then undo mounts, cgroups and files outside its directories."""
    state, data = where.state, where.data
    pods = _pod_ids(data)
    ours = sorted(processes.running(state), key=lambda process: process.component not in _ORDER)
    inside = [pid for process in ours for pid in _descendants(process.pid)]
    for process in ours:
        _kill(process.pid)
    groups = cgroups.of_pods(pods)
    for pid in (*inside, *cgroups.members(groups)):
        _kill(pid)
    everyone = [process.pid for process in ours] + inside
    wait_until(lambda: not any(processes.alive(pid) for pid in everyone) and not cgroups.members(groups), 10, "processes to end")
    _unmount((state, data, where.store))
    cgroups.remove(groups, where.cgroup_root)
    _forget_containers(where)


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


def mounts_below(below: tuple[Path, ...]) -> Iterator[str]:
    """Mount points under these directories, in the order they were made."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split()[4].encode().decode("unicode_escape")
        if any(Path(target).is_relative_to(directory) for directory in below):
            yield target


def _unix_sockets() -> set[str]:
    """Paths of the sockets of every network namespace: the kernel lists them by namespace, and shims live in their cluster's."""
    by_namespace: dict[str, Path] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            by_namespace.setdefault(os.readlink(process / "ns" / "net"), process)
    found: set[str] = set()
    for process in by_namespace.values():
        with suppress(OSError):
            found |= {line.split()[-1] for line in (process / "net" / "unix").read_text().splitlines()}
    return found


def _forget_containers(where: Traces) -> None:
    """Files outside our own directories: paths that kubelet, containerd and the CNI library have built in."""
    for link in Path("/var/log/containers").glob("*.log"):
        if Path(os.path.realpath(link)).is_relative_to(where.data.resolve()):
            link.unlink(missing_ok=True)
    results = Path("/var/lib/cni/results")
    for sandbox in [file.name.removeprefix(f"{where.network}-")[:64] for file in results.glob(f"{where.network}-*")]:
        for result in results.glob(f"*-{sandbox}-*"):
            result.unlink()
    listening = _unix_sockets()
    for socket in Path("/run/containerd/s").glob("*"):
        if str(socket) not in listening:  # its shim is gone; shims of another containerd listen
            socket.unlink()
    for task in (where.state / "containerd" / "io.containerd.runtime.v2.task" / "k8s.io").glob("*"):
        shutil.rmtree(Path("/run/containerd/runc/k8s.io") / task.name, ignore_errors=True)
    for kind in ("containers", "sandboxes"):
        shutil.rmtree(where.store / "io.containerd.grpc.v1.cri" / kind, ignore_errors=True)
