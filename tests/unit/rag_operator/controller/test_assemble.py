"""How an evaluation stands, from its Job and from what it told the index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from doubles.manifests import OWNER, revision_of, spec_of
from doubles.seen import seen_of
from rag_operator import names
from rag_operator.controller.assemble import RESULT_FOLLOWS, evaluation, results_due
from rag_operator.desired import jobs
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import INDEXES, JOBS, Resource
from rag_operator.model.observed import EvaluationReading
from rag_operator.model.plan import EvaluationIntent, Record, Rollout

NOW = 1_800_000_000.0
STABLE, CANDIDATE = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}))
NAME = jobs.evaluation_job_name(OWNER.name, EvaluationIntent(STABLE.name, CANDIDATE.name, 1, began=5.0))
RECORD = Record(stable=STABLE.name, rollout=Rollout(CANDIDATE.name, "Evaluating", started=5.0))


def child(resource: Resource, name: str, status: dict[str, Any]) -> Child:
    meta = {"name": name, "namespace": OWNER.namespace, "uid": name, "resourceVersion": "1"}
    return reduce(resource, {"metadata": {**meta, "labels": {names.LABEL_KIND: names.KIND_EVALUATION}}, "status": status})


def job(how: str | None = None, seconds_ago: float = 0.0) -> Child:
    at = datetime.fromtimestamp(NOW - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"type": how, "status": "True", "lastTransitionTime": at, "message": "it could not"}
    return child(JOBS, NAME, {"conditions": [ended] if how else []})


def reading(*children: Child) -> EvaluationReading | None:
    look = seen_of(spec_of(), children, record=RECORD)
    return evaluation(look, {one.name: one for one in (STABLE, CANDIDATE)}, NOW)


def outcome(*children: Child) -> tuple[bool, str]:
    found = reading(*children)
    assert found is not None
    return found.running, found.error


def test_an_evaluation_runs_until_its_job_ends() -> None:
    assert reading() is None
    assert outcome(job()) == (True, "")
    assert outcome(job("Failed")) == (False, "it could not")


def test_the_result_of_a_job_that_ended_is_waited_for_a_little() -> None:
    assert outcome(job("Complete", RESULT_FOLLOWS - 1)) == (True, "")
    assert outcome(job("Complete", RESULT_FOLLOWS)) == (False, "the evaluation ended, but its result is not there")


def test_a_result_counts_however_long_ago_its_job_ended() -> None:
    numbers = {"meanStable": 0.5, "meanCandidate": 0.6, "difference": 0.2, "low": 0.1, "high": 0.3}
    told = {"id": NAME, "stable": STABLE.name, "candidate": CANDIDATE.name, "metric": "MRR", "questions": 100, **numbers}
    found = reading(job("Complete", 3600), child(INDEXES, CANDIDATE.index.name, {"evaluations": [told]}))
    assert found is not None
    assert (found.running, found.error, [metric.candidate for metric in found.metrics]) == (False, "", [0.6])


@pytest.mark.parametrize(
    ("ended", "due"),
    [(job(), []), (job("Complete", RESULT_FOLLOWS - 10), [10.0]), (job("Complete", RESULT_FOLLOWS), [])],
    ids=["it runs", "it just ended", "it ended long ago"],
)
def test_a_result_that_is_due_is_looked_for_at_that_time(ended: Child, due: list[float]) -> None:
    assert list(results_due({(ended.kind, ended.name): ended}, NOW)) == due
