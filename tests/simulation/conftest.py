"""One process for every processor, for all that is told many times."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from simulation.orders import processors


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPoolExecutor]:
    with processors() as started:
        yield started
