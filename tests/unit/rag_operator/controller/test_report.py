"""When a pass looks again at what tells nobody that it changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from doubles.manifests import OWNER, TEMPLATES, spec_of
from doubles.seen import seen_of
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.controller.analysis import Baselines
from rag_operator.controller.decide import Given, decide, judge
from rag_operator.controller.report import Reporter
from rag_operator.kube.child import reduce
from rag_operator.kube.resources import JOBS, PODS, Resource
from rag_operator.model.plan import Note
from rag_operator.model.validated import References

NOW = 1_800_000_000.0
STARTING = {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}


class Silent:
    """Takes Events and status."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.status: dict[str, Any] = {}

    async def create(self, event: dict[str, Any]) -> None:
        self.told.append(event["reason"])

    async def write_status(self, _: Resource, manifest: dict[str, Any]) -> None:
        self.status = manifest["status"]


@pytest.mark.parametrize(
    ("resource", "status", "deleted", "seconds"),
    [
        (PODS, STARTING, {}, 2.0),
        (JOBS, {}, {}, 10.0),
        (JOBS, {"active": 1}, {}, 300.0),
        (JOBS, {}, {"deletionTimestamp": "2027-01-15T08:00:00Z"}, 300.0),
    ],
    ids=["a pod that starts", "a Job without a pod", "a Job with one", "a Job that is deleted"],
)
async def test_what_only_events_tell_is_looked_for_soon(
    resource: Resource, status: dict[str, Any], deleted: dict[str, str], seconds: float
) -> None:
    meta = {"name": "one", "namespace": OWNER.namespace, "uid": "u", "resourceVersion": "1", "labels": {}, **deleted}
    child = reduce(resource, {"metadata": meta, "status": status})
    seen = seen_of(spec_of(suspend=True), [child], references=References())
    seen.body["metadata"]["resourceVersion"] = "1"
    judged, silent = judge(seen), Silent()
    decided = decide(seen, judged, Given(TEMPLATES, Baselines(lambda: NOW), "aaaaaaaa", NOW))
    reporter = Reporter(silent, silent, look_again=300.0, upgrade="")  # type: ignore[arg-type]
    assert await reporter.report(seen, judged, decided, None, NOW) == seconds


async def test_what_changes_nothing_in_the_status_is_told_all_the_same() -> None:
    seen = seen_of(spec_of(suspend=True), [], references=References())
    seen.body["metadata"]["resourceVersion"] = "1"
    judged, silent = judge(seen), Silent()
    decided = decide(seen, judged, Given(TEMPLATES, Baselines(lambda: NOW), "aaaaaaaa", NOW))
    reporter = Reporter(silent, silent, look_again=300.0, upgrade="")  # type: ignore[arg-type]
    await reporter.report(seen, judged, decided, None, NOW)
    seen.body["status"], before = silent.status, len(silent.told)
    again = replace(seen, status=RAGPipelineStatus.model_validate(silent.status))
    noted = replace(decided, plan=replace(decided.plan, notes=(Note("RollbackWindowCold", "x"),)))
    await reporter.report(again, judged, noted, None, NOW)
    assert silent.told[before:] == ["RollbackWindowCold"]
