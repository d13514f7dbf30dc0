"""Up, down, and up again whatever happened in between, in a cluster beside the one that other tests use."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import processes
from cluster.commands import run, succeeds
from cluster.full import COMPONENTS, Cluster
from cluster.leftovers import mounts_below
from cluster.network import BRIDGE
from cluster.paths import PACKAGE
from cluster.processes import wait_until
from e2e.cluster_manifests import pod
from e2e.namespaces import Namespace

pytestmark = pytest.mark.own_cluster
S3_READY = "/api/v1/namespaces/storage/services/s3:9000/proxy/moto-api/data.json"
UP_SECONDS, DOWN_SECONDS = 60, 15


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of this module's own: taking the others' down would not be polite."""
    own = Cluster("rag-life")
    own.up()
    yield own
    own.down()
    shutil.rmtree(own.store)


def command(*arguments: str) -> subprocess.Popen[str]:
    """The command line of the cluster as a process of its own, its progress readable."""
    return subprocess.Popen(
        [sys.executable, "-m", "cluster", "--name", "rag-life", *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        stderr=subprocess.PIPE,
        text=True,
    )


def traces(cluster: Cluster) -> dict[str, object]:
    """Everything a cluster could leave behind on the host."""
    return {
        "processes": sorted(process.component for process in processes.running(cluster.state)),
        "mounts": list(mounts_below((cluster.state, cluster.data, cluster.store))),
        "links": [link.name for link in Path("/sys/class/net").glob("rag-life*")],
        "namespaces": [path.name for path in Path("/run/netns").glob("rag-life")],
        "nft rules": run(["nft", "list", "ruleset"]),
        "iptables rules": run(["iptables-save"]) if succeeds(["iptables", "--version"]) else "",
        "routes": run(["ip", "route", "show", "table", "all"]),
        "cgroups": [str(path) for pattern in ("rag-life", "*/rag-life") for path in Path("/sys/fs/cgroup").glob(pattern)],
        "files": [str(path) for path in (cluster.state, cluster.data) if path.exists()],
        "shims": [line for line in Path("/proc/net/unix").read_text().splitlines() if "/rag-life" in line],
        "pod logs": [link.name for link in Path("/var/log/containers").glob("*") if "rag-life" in os.path.realpath(link)],
        "pod addresses": [path.name for path in Path("/var/lib/cni/results").glob("rag-life-*")],
    }


def test_up_and_down_twice_is_quick_and_leaves_nothing(cluster: Cluster) -> None:
    cluster.down()
    before = traces(cluster)
    assert {name: found for name, found in before.items() if found} == {
        name: before[name] for name in ("nft rules", "iptables rules", "routes") if before[name]
    }
    for _ in range(2):
        started = time.monotonic()
        cluster.up()
        up_seconds = time.monotonic() - started
        assert traces(cluster)["processes"], "the traces are seen while it runs"
        started = time.monotonic()
        cluster.down()
        down_seconds = time.monotonic() - started
        print(f"warm: up {up_seconds:.1f} s, down {down_seconds:.1f} s")
        assert traces(cluster) == before
        assert up_seconds <= UP_SECONDS
        assert down_seconds <= DOWN_SECONDS
    cluster.up()


@pytest.mark.parametrize("moment", ["network namespace", "start kube-apiserver", "apply add-ons"])
def test_up_survives_a_predecessor_that_was_killed(cluster: Cluster, moment: str) -> None:
    cluster.down()
    predecessor = command("up")
    assert predecessor.stderr
    assert any(moment in line for line in predecessor.stderr), "it was killed in the middle of that step"
    predecessor.kill()
    predecessor.wait()
    predecessor.stderr.close()
    cluster.up()


def test_two_ups_at_once_make_one_cluster(cluster: Cluster) -> None:
    cluster.down()
    both = [command("up"), command("up")]
    assert [process.communicate()[1].count("error") for process in both] == [0, 0]
    assert sorted(process.component for process in processes.components(cluster.state)) == sorted(COMPONENTS)


@pytest.mark.parametrize("component", COMPONENTS)
def test_up_heals_a_killed_component(cluster: Cluster, make_namespace: Callable[..., Namespace], component: str) -> None:
    victim = find(cluster, component)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not processes.alive(victim), 10, "the component to die")
    assert cluster.status()[component] == "not running"
    cluster.up()
    assert find(cluster, component) != victim
    assert cluster.status()[component].startswith("running")
    namespace = make_namespace()
    namespace.apply(pod("fresh"))
    namespace.wait("pod/fresh", "condition=Ready")


def test_up_heals_a_frozen_api_server(cluster: Cluster) -> None:
    os.kill(find(cluster, "kube-apiserver"), signal.SIGSTOP)
    cluster.up()
    assert "rag-node" in cluster.kubectl("get", "nodes")


def test_up_heals_a_network_namespace_that_was_half_made(cluster: Cluster) -> None:
    cluster.down()
    cluster.network.path.touch()
    assert "broken" in cluster.status()["network namespace"]
    cluster.up()
    assert "packets that tried to leave it: 0" in cluster.status()["network namespace"]


def test_up_heals_a_lost_network(cluster: Cluster) -> None:
    run(["ip", "link", "delete", cluster.network.host_link])
    run(cluster.network.inside("ip", "link", "delete", BRIDGE))
    cluster.up()
    assert cluster.kubectl("get", "--raw", S3_READY), "the API server reaches a pod that was there before"


def find(cluster: Cluster, component: str) -> int:
    found = processes.find(cluster.state, component, "containerd" if component == "containerd" else None)
    assert found
    return found.pid
