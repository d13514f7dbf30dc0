"""One API server and one nursery for all tests of this directory; each test has a namespace of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cluster.api_only import ApiServer
from integration.operator.replica import Nursery

_ROOT = Path(__file__).resolve().parents[3]
# No workload controllers: the world acts for them, so that tests decide when pods become ready.
CONTROLLERS = ("garbage-collector-controller", "namespace-controller", "serviceaccount-controller")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    with ApiServer(controllers=CONTROLLERS) as server:
        server.kubectl("apply", "-f", str(_ROOT / "crds"))
        server.wait_listed("ragpipelines,ragindexes")
        # The garbage collector looks for new kinds every 30 seconds, and at its start.
        server.restart("kube-controller-manager")
        yield server


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    async with Nursery(tmp_path) as found:
        yield found


@pytest.fixture
def namespace() -> str:
    return f"test-{next(_numbers)}"
