"""One API server with the CRDs for all tests of the API, and a client that dry-runs objects against it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.client import ApiClient
from cluster.api_only import ApiServer
from rag_operator.api.crd import index_crd, pipeline_crd


@pytest.fixture(scope="session")
def kube() -> Iterator[ApiClient]:
    with ApiServer(audit=None) as server, ApiClient(server.kubeconfig, server.directory, server.kubectl) as client:
        client.install(pipeline_crd())
        client.install(index_crd())
        yield client
