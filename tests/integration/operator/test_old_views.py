"""A server that shows the past, and watches whose events come late and in another order: nothing wrong is done by such a view.

Every write in the campaign, a seeded sample with every test run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.campaign import Result, compare, run, run_each
from integration.operator.proxy import Do, Write
from integration.operator.replica import Nursery
from integration.operator.scenario import scenario
from integration.operator.test_crashes import WHOLE, chosen, told
from integration.operator.workloads import BY_NAME
from rag_operator.kube.resources import INDEXES

VIEWS = (Do.STALE, Do.BLIND)
LATEST = 2.0  # seconds
SEEDS = 5 if WHOLE else 1


@pytest.fixture(scope="module")
def references() -> dict[str, Result]:
    """Undisturbed runs by workload, each done once."""
    return {}


async def undisturbed(references: dict[str, Result], api: ApiServer, nursery: Nursery, directory: Path, workload: str) -> Result:
    """The undisturbed run of a workload."""
    if workload not in references:
        references[workload] = await run(api, nursery, directory, BY_NAME[workload])
        assert references[workload].wrong == []
    return references[workload]


def late(seed: str) -> Callable[[dict[str, Any]], float]:
    """Seconds by which an event is late: by chance, so that events of different objects swap."""
    chance = random.Random(seed)
    return lambda _: chance.uniform(0, LATEST)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workload", list(BY_NAME) if WHOLE else ["change_model"])
async def test_an_old_view_at_any_write_changes_nothing_in_the_end(
    api: ApiServer, nursery: Nursery, tmp_path: Path, references: dict[str, Result], workload: str
) -> None:
    reference = await undisturbed(references, api, nursery, tmp_path, workload)
    disturbances = chosen(reference, VIEWS, 1, f"old views of {workload}")
    found = await run_each(api, nursery, tmp_path, BY_NAME[workload], disturbances, reference=reference)
    print(f"\n{workload}: {len(reference.writes)} writes, {len(disturbances)} runs, {len(found)} wrong")
    assert not found, told(found)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workload", list(BY_NAME) if WHOLE else ["change_model"])
async def test_events_that_are_late_and_swapped_change_nothing_in_the_end(
    api: ApiServer, nursery: Nursery, tmp_path: Path, references: dict[str, Result], workload: str
) -> None:
    reference = await undisturbed(references, api, nursery, tmp_path, workload)
    found = {}
    for seed in (f"{workload} {number}" for number in range(SEEDS)):
        result = await run(api, nursery, tmp_path, BY_NAME[workload], delay=late(seed), latest=LATEST)
        if wrong := compare(reference, result):
            found[seed] = wrong
    assert not found, told(found)


@pytest.mark.timeout(200)
async def test_news_that_the_answer_to_our_own_write_overtakes_is_acted_on(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    # Without comparing: whatever is not acted on stays so.
    async with scenario(api, nursery, tmp_path, namespace, resync=600.0) as found:

        async def reported(write: Write) -> None:
            if "/ragindexes/" in write.path and write.path.endswith("/status"):
                (before,) = await found.client.list(INDEXES, namespace)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        while said(before) == said((await found.client.list(INDEXES, namespace))[0]):  # noqa: ASYNC110 - another process
                            await asyncio.sleep(0.05)

        def said(index: dict[str, Any]) -> dict[str, Any]:
            return {field: value for field, value in index["status"].items() if field != "conditions"}

        found.proxy.meanwhile = reported
        found.proxy.delay = lambda event: 1.5 if event["object"].get("kind") == "RAGIndex" else 0.0
        await found.start()
        await found.create()
        await found.ready()
