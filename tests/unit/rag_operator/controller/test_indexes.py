"""What each index is to do, and when work that failed is tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from doubles.manifests import spec_of
from rag_operator import names
from rag_operator.controller.assemble import index_statuses
from rag_operator.controller.indexes import intents, is_collecting, retry_in
from rag_operator.desired.context import IndexIntent
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import INDEXES, JOBS, Resource
from rag_operator.model.plan import Collect, Keep, Plan, Record
from rag_operator.rollout.identity import resolve

REVISION = resolve("handbook", spec_of(), collection="rag_x")
NAME = REVISION.index.name
NOW = 1_800_000_000.0


def child(resource: Resource, name: str, **body: Any) -> Child:
    labels = {names.LABEL_PIPELINE: "handbook", names.LABEL_COMPONENT: NAME}
    meta = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1", "labels": labels}
    return reduce(resource, {"metadata": meta, **body})


def index(mode: str = "Build", attempt: int = 1, *, collecting: bool = False, **body: Any) -> Child:
    spec = {"work": {"mode": mode, "attempt": attempt}, "collecting": collecting, "collection": "rag_x"}
    return child(INDEXES, NAME, spec=spec, **body)


def failed(seconds_ago: float, attempt: int = 1) -> Child:
    return ended("Failed", seconds_ago, attempt)


def ended(how: str, seconds_ago: float, attempt: int = 1) -> Child:
    at = datetime.fromtimestamp(NOW - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": how, "status": "True", "lastTransitionTime": at}
    return child(JOBS, f"{NAME}-build-{attempt}", status={"conditions": [condition]})


def by_name(*children: Child) -> dict[tuple[str, str], Child]:
    return {(one.kind, one.name): one for one in children}


def decided(*children: Child, keep: bool = True, collect: tuple[Collect, ...] = ()) -> dict[str, IndexIntent]:
    plan = Plan(Record(), keep=(Keep(REVISION.name, "stable"),) if keep else (), collect=collect)
    known = by_name(*children)
    return intents(plan, {REVISION.name: REVISION}, known, statuses=index_statuses(known), ready={}, now=NOW)


def test_a_new_index_is_built() -> None:
    assert (decided()[NAME].work.mode, decided()[NAME].work.attempt) == ("Build", 1)


def test_a_build_under_way_goes_on() -> None:
    assert decided(index())[NAME].work.attempt == 1


def test_a_build_that_failed_is_tried_again_only_after_a_while() -> None:
    assert decided(index(), failed(3))[NAME].work.attempt == 1
    assert decided(index(), failed(11))[NAME].work.attempt == 2


def test_a_build_that_succeeded_for_an_index_that_was_deleted_since_is_done_again() -> None:
    assert decided(ended("Complete", 1_000))[NAME].work.attempt == 1  # it is made again, and asks for the Job that is there
    assert decided(index(), ended("Complete", 3))[NAME].work.attempt == 1  # its result may be on its way
    assert decided(index(), ended("Complete", 11))[NAME].work.attempt == 2


@pytest.mark.parametrize("mode", ["Sync", "Build"])
def test_from_a_status_that_cannot_be_read_no_work_follows(mode: str) -> None:
    unreadable = index(mode, 3, status={"build": "done"})
    assert (decided(unreadable)[NAME].work.mode, decided(unreadable)[NAME].work.attempt) == (mode, 3)
    assert decided(unreadable, keep=False, collect=(Collect(NAME, "index", "StopWriters", "x"),))[NAME].work.mode == "Stop"


def test_a_job_whose_result_was_told_is_not_done_again() -> None:
    done = child(INDEXES, NAME, spec=index("Drop").body()["spec"], status={"completed": {"mode": "Drop", "attempt": 1}})
    job = child(JOBS, f"{NAME}-drop-1", status=ended("Complete", 1_000).status())
    assert retry_in(done, by_name(done, job), NOW) is None


def test_every_further_try_waits_longer_up_to_a_limit() -> None:
    waits = [retry_in(index(attempt=n), by_name(failed(0, n)), NOW) for n in (1, 2, 3, 10)]
    assert waits == [10, 20, 40, 300]


def test_nothing_is_retried_that_did_not_fail() -> None:
    assert retry_in(index(), {}, NOW) is None


def test_collecting_goes_on_even_when_the_plan_says_nothing_of_it() -> None:
    going = index("Drop", 2, collecting=True)
    assert is_collecting(going)
    found = decided(going, keep=False)[NAME]
    assert (found.collecting, found.work.mode, found.work.attempt) == (True, "Drop", 2)


def test_nobody_writes_into_the_index_of_a_revision_that_idles() -> None:
    idle = Plan(Record(), keep=(Keep(REVISION.name, "leaving", idle=True),))
    for mode in ("Build", "Sync", "Stop"):
        found = intents(idle, {REVISION.name: REVISION}, by_name(index(mode)), statuses={}, ready={}, now=NOW)[NAME]
        assert (found.work.mode, found.collecting) == ("Stop", False)


def test_an_idle_revision_that_shares_its_index_with_one_at_work_stops_nothing() -> None:
    both = Plan(Record(), keep=(Keep(REVISION.name, "stable"), Keep(REVISION.name, "leaving", idle=True)))
    assert intents(both, {REVISION.name: REVISION}, by_name(index()), statuses={}, ready={}, now=NOW)[NAME].work.mode == "Build"


def test_a_revision_that_is_wanted_again_is_built_further_where_it_was_stopped() -> None:
    assert (decided(index("Stop", 1))[NAME].work.mode, decided(index("Stop", 1))[NAME].work.attempt) == ("Build", 2)


def test_the_steps_of_collection_follow_the_plan() -> None:
    steps = {
        step: decided(index("Sync"), keep=False, collect=(Collect(NAME, "index", step, "x"),))[NAME]
        for step in ("StopWriters", "MarkCollecting", "Drop")
    }
    assert {step: (found.work.mode, found.collecting) for step, found in steps.items()} == {
        "StopWriters": ("Stop", False),
        "MarkCollecting": ("Stop", True),
        "Drop": ("Drop", True),
    }
