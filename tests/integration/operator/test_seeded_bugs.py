"""The harness is sharp: every deliberate bug is found by it, and the operator without them passes the same runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.api_only import ApiServer
from integration.operator import bugs
from integration.operator.campaign import Disturbance, Result, compare, run
from integration.operator.proxy import Do
from integration.operator.replica import Nursery
from integration.operator.workloads import BY_NAME

# Bug -> the workload, and the fault that brings it to light where one is needed.
CAUGHT_BY: dict[str, tuple[str, Disturbance | None]] = {
    "owner_missing": ("create", None),
    "done_by_status": ("create", Disturbance(1, Do.CRASH_AFTER)),
    "random_names": ("create", None),
    "conflict_swallowed": ("create", Disturbance(9, Do.CONFLICT)),
    "drop_before_route_away": ("change_model", None),
    "prune_takes_strangers": ("beside_a_stranger", None),
    "fields_never_removed": ("revert", None),
    "finalizer_too_early": ("delete_external", None),
    "restless_status": ("create", None),
    "record_after_children": ("create", None),
}


@pytest.fixture(scope="module")
def references() -> dict[str, Result]:
    return {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", [bug.__name__ for bug in bugs.ALL])
async def test_a_deliberate_bug_is_found(api: ApiServer, nursery: Nursery, tmp_path: Path, references: dict[str, Result], bug: str) -> None:
    workload, disturbance = CAUGHT_BY[bug]
    if workload not in references:
        references[workload] = await run(api, nursery, tmp_path, BY_NAME[workload])
    assert references[workload].wrong == []
    # Without comparing with complete lists, which mends much of what these bugs do.
    result = await run(api, nursery, tmp_path, BY_NAME[workload], disturbance, patience=20.0, bug=bug, resync=600.0)
    assert compare(references[workload], result) != []
