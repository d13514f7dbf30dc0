"""CLUSTER=current: the user's own cluster is used, never touched, and images go to a registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from cluster import packages, processes
from cluster.full import Cluster
from cluster.paths import PACKAGE
from cluster.ports import free_port
from cluster.processes import Component, start, wait_ready

pytestmark = pytest.mark.own_cluster
CONFIGURATION = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry on loopback; its address."""
    port = free_port()
    configuration = tmp_path / "registry.yaml"
    configuration.write_text(CONFIGURATION.format(directory=tmp_path / "data", port=port))
    program = packages.ensure("docker-registry")
    address = f"127.0.0.1:{port}"
    component = Component("registry", (str(program), "serve", str(configuration)), tmp_path / "log", lambda: answers(address))
    process = start(component, tmp_path)
    try:
        wait_ready(component, alive=lambda: process.poll() is None)
        yield address
    finally:
        process.kill()
        process.wait()


def answers(address: str) -> bool:
    try:
        with urlopen(f"http://{address}/v2/", timeout=2):
            return True
    except URLError:
        return False


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cluster", *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "CLUSTER": "current", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_images_are_pushed_to_the_registry_and_named_as_manifests_name_them(cluster: Cluster, registry: str) -> None:
    done = command("images", "s3", KUBECONFIG=str(cluster.kubeconfig), IMAGE_REGISTRY=f"{registry}/rag")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{registry}/rag/s3:0.1"
    with urlopen(f"http://{registry}/v2/rag/s3/tags/list") as answer:
        assert json.load(answer)["tags"] == ["0.1"]


def test_up_and_down_leave_the_users_cluster_alone(cluster: Cluster) -> None:
    before = sorted(process.pid for process in processes.components(cluster.state))
    for verb in ("up", "down"):
        done = command(verb, KUBECONFIG=str(cluster.kubeconfig))
        assert done.returncode == 0, done.stderr
    assert sorted(process.pid for process in processes.components(cluster.state)) == before


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"KUBECONFIG": ""}, "KUBECONFIG"), ({"KUBECONFIG": "/nowhere", "IMAGE_REGISTRY": ""}, "IMAGE_REGISTRY")],
)
def test_what_is_missing_is_named(environment: dict[str, str], said: str) -> None:
    done = command("images", "s3", **environment)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
