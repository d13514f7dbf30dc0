"""pytest fixtures for both forms; a conftest takes them with `pytest_plugins = ["cluster.fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.api_only import ApiServer
from cluster.full import Cluster, current_kubeconfig
from cluster.milvus import MilvusServer


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """One API server with its controllers for the whole run; tests use namespaces of their own."""
    with ApiServer(controllers=True) as server:
        yield server


@pytest.fixture
def fresh_api_server() -> Iterator[ApiServer]:
    """An API server without controllers for one test alone, which may pause or kill it."""
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[MilvusServer]:
    """One Milvus for the whole run; tests use collections of their own. Who kills it makes an instance for itself."""
    with MilvusServer() as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The whole cluster, started or healed; with CLUSTER=current, the one KUBECONFIG points at. It stays up afterwards."""
    running = Cluster()
    if current_kubeconfig() is None:
        running.up()
    return running
