"""SIGKILL before and after every write of create, update and delete: the same end as an undisturbed run, nothing doubled, nothing orphaned.

A seeded sample runs with every test run, the whole under RAG_CAMPAIGN=1.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from cluster.api_only import ApiServer
from integration.operator.campaign import Disturbance, Result, run, run_each
from integration.operator.proxy import Do
from integration.operator.replica import Nursery
from integration.operator.workloads import BY_NAME

WHOLE = bool(os.environ.get("RAG_CAMPAIGN"))
SAMPLE = {"create": 2, "scale": 1, "change_model": 2, "delete": 1}
UNDISTURBED = ("autoscale", "change_source", "suspend")  # the others are references of campaigns
CRASHES = (Do.CRASH_BEFORE, Do.CRASH_AFTER)
ERRORS = (Do.CONFLICT, Do.THROTTLE, Do.FAIL, Do.UNAVAILABLE, Do.LOSE_REPLY, Do.BREAK)


def chosen(reference: Result, kinds: tuple[Do, ...], sample: int, seed: str) -> list[Disturbance]:
    """Every write with every fault, or a seeded sample of them."""
    every = [Disturbance(write.number, do) for write in reference.writes for do in kinds]
    return every if WHOLE else random.Random(seed).sample(every, min(sample, len(every)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workload", UNDISTURBED)
async def test_what_people_do_comes_to_its_end_without_a_wrong_step(
    api: ApiServer, nursery: Nursery, tmp_path: Path, workload: str
) -> None:
    assert (await run(api, nursery, tmp_path, BY_NAME[workload])).wrong == []


def failed_once(reference: Result) -> list[Disturbance]:
    """What a campaign found once: an index that stood before status knew of a position was taken for one of a restored cluster."""
    first = next((write.number for write in reference.writes if "/ragindexes/" in write.path), None)
    return [Disturbance(first, Do.CRASH_AFTER)] if first is not None and not WHOLE else []


def told(found: dict[str, list[str]]) -> str:
    """What went wrong, one line each."""
    return "\n".join(f"{disturbance}: {wrong}" for disturbance, every in found.items() for wrong in every)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workload", list(BY_NAME) if WHOLE else list(SAMPLE))
async def test_a_crash_at_any_write_changes_nothing_in_the_end(api: ApiServer, nursery: Nursery, tmp_path: Path, workload: str) -> None:
    reference = await run(api, nursery, tmp_path, BY_NAME[workload])
    assert reference.wrong == []
    disturbances = [
        *chosen(reference, CRASHES, SAMPLE.get(workload, 0), workload),
        *(failed_once(reference) if workload == "create" else []),
    ]
    found = await run_each(api, nursery, tmp_path, BY_NAME[workload], disturbances, reference=reference)
    print(f"\n{workload}: {len(reference.writes)} writes, {len(disturbances)} runs, {len(found)} wrong")
    assert not found, told(found)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workload", list(BY_NAME) if WHOLE else ["create"])
async def test_an_error_at_any_write_changes_nothing_in_the_end(api: ApiServer, nursery: Nursery, tmp_path: Path, workload: str) -> None:
    reference = await run(api, nursery, tmp_path, BY_NAME[workload])
    disturbances = chosen(reference, ERRORS, 3, f"errors of {workload}")
    found = await run_each(api, nursery, tmp_path, BY_NAME[workload], disturbances, reference=reference)
    print(f"\n{workload}: {len(reference.writes)} writes, {len(disturbances)} runs, {len(found)} wrong")
    assert not found, told(found)
