"""The command line: `python -m cluster <up|down|env|status|images|fetch>`.

With CLUSTER=current, `up`, `down` and `status` leave the cluster that KUBECONFIG points at alone, and `images` pushes to
IMAGE_REGISTRY.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from cluster import base_image, image_build, packages
from cluster.commands import ClusterError, run
from cluster.full import CORE_BINARIES, Cluster, current_kubeconfig
from cluster.milvus import server_files
from cluster.network import DEFAULT
from cluster.steps import say, step
from cluster.tools import ensure

TEST_BINARIES = ("helm",)


def _up(cluster: Cluster) -> None:
    if _current():
        say(f"using the cluster of KUBECONFIG: {run(['kubectl', 'config', 'current-context']).strip()}")
    else:
        with step("cluster up"):
            cluster.up()


def _down(cluster: Cluster) -> None:
    if not _current():
        cluster.down()


def _env(cluster: Cluster) -> None:
    if not _current():
        print(f"export KUBECONFIG={cluster.kubeconfig}")


def _status(cluster: Cluster) -> None:
    if _current():
        print(run(["kubectl", "get", "nodes", "-o", "wide"]), end="")
        return
    for name, state in cluster.status().items():
        print(f"{name:45} {state}")


def _fetch(_: Cluster) -> None:
    packages.install_missing()
    ensure((*CORE_BINARIES, *TEST_BINARIES))
    base_image.ensure()
    server_files()


def _images(cluster: Cluster, names: Sequence[str]) -> None:
    if not _current():
        cluster.images(names)
        return
    registry = os.environ.get("IMAGE_REGISTRY")
    if not registry:
        raise ClusterError("CLUSTER=current pushes images: say where to in IMAGE_REGISTRY, for instance localhost:5000/rag")
    for image in image_build.discover(names):
        image_build.build(image)
        print(image_build.push(image, registry))


def _current() -> bool:
    return current_kubeconfig() is not None


COMMANDS: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "up": (_up, "start the cluster, or heal it"),
    "down": (_down, "stop it and leave nothing behind"),
    "env": (_env, "print the line that points kubectl at it"),
    "status": (_status, "say what runs"),
    "fetch": (_fetch, "build and download what `up` and the tests need, without starting anything"),
}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__.splitlines()[0])
    parser.add_argument("--name", default=DEFAULT, help="another cluster beside the usual one (at most 10 characters)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    images = commands.add_parser("images", help="build every Dockerfile, put the images where the kubelet finds them")
    images.add_argument("names", nargs="*", help="only these")
    return parser.parse_args()


def main() -> None:
    """Run one command; an error becomes one message and exit status 1."""
    chosen = _parse()
    try:
        cluster = Cluster(chosen.name)
        if chosen.command == "images":
            _images(cluster, chosen.names)
        else:
            COMMANDS[chosen.command][0](cluster)
    except ClusterError as error:
        sys.exit(f"error: {error}")
