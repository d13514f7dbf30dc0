"""Fixtures of the tests in the real cluster: the cluster itself and a namespace for each test that asks for one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator

import pytest

from cluster.fixtures import cluster
from cluster.full import Cluster, current_kubeconfig
from cluster.processes import wait_until
from e2e.namespaces import Namespace, has_service_account

__all__ = ["cluster", "make_namespace", "namespace", "restricted"]

OWN_CLUSTER = "own_cluster"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{OWN_CLUSTER}: looks into or restarts a cluster that is ours to break")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that look into the machinery of a cluster of ours do not run on a user's."""
    if current_kubeconfig() is not None:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(OWN_CLUSTER)])
        items[:] = [item for item in items if not item.get_closest_marker(OWN_CLUSTER)]


@pytest.fixture
def make_namespace(cluster: Cluster) -> Iterator[Callable[..., Namespace]]:
    """Make namespaces that go away with the test; labels are keyword arguments of a dictionary."""
    made: list[str] = []

    def make(labels: dict[str, str] | None = None) -> Namespace:
        name = f"test-{uuid.uuid4().hex[:8]}"
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        made.append(name)
        wait_until(lambda: has_service_account(cluster, name), 120, f"the default service account of {name}")
        return Namespace(name, cluster)

    yield make
    if made:
        cluster.kubectl("delete", "namespace", "--wait=false", *made)


@pytest.fixture
def namespace(make_namespace: Callable[..., Namespace]) -> Namespace:
    """A plain namespace."""
    return make_namespace()


@pytest.fixture
def restricted(make_namespace: Callable[..., Namespace]) -> Namespace:
    """A namespace that refuses pods which do not satisfy `restricted`."""
    return make_namespace({"pod-security.kubernetes.io/enforce": "restricted"})
