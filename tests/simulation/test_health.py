"""Argo CD, kstatus and the status agree at every moment of a rollout."""

from __future__ import annotations

import os
from itertools import groupby
from typing import Any

import pytest

from rag_operator.names import VERBS
from simulation.health import Script, kstatus, watch, watched
from simulation.stories import STORIES

PIPELINE, INDEX = Script("ragpipeline-health.lua"), Script("ragindex-health.lua")
# What Argo CD may say beside what kstatus says.
AGREED = {"Current": {"Healthy"}, "InProgress": {"Progressing", "Suspended", "Degraded"}, "Failed": {"Degraded", "Suspended"}}
# What it says of a phase, unless somebody must approve.
BY_PHASE = {
    "Pending": "Progressing",
    "Indexing": "Progressing",
    "RollingOut": "Progressing",
    "Ready": "Healthy",
    "Degraded": "Degraded",
    "Failed": "Degraded",
    "Suspended": "Suspended",
}
SEEDS: tuple[int | None, ...] = (None, *range(20 if os.environ.get("RAG_CAMPAIGN") else 3))
COURSES = {
    "happy_canary": ["Progressing", "Healthy", "Progressing", "Healthy"],
    "blue_green_with_approval": ["Progressing", "Healthy", "Progressing", "Suspended", "Progressing", "Healthy"],
    "evaluation_fails": ["Progressing", "Healthy", "Progressing", "Degraded"],
    "evaluation_is_inconclusive_and_somebody_promotes": ["Progressing", "Healthy", "Progressing", "Suspended", "Progressing", "Healthy"],
    "rollback_and_forward_again": ["Progressing", "Healthy", "Progressing", "Healthy", "Degraded", "Progressing", "Healthy"],
    "suspended_for_a_day": ["Progressing", "Healthy", "Progressing", "Suspended", "Progressing", "Healthy"],
    "back_to_a_and_again_to_b": ["Progressing", "Healthy", "Progressing", "Healthy", "Progressing", "Healthy"],
}


def expected(seen: dict[str, Any]) -> str:
    """What Argo CD must say of a moment."""
    status = seen["status"]
    if status.get("observedGeneration") != seen["metadata"]["generation"]:
        return "Progressing"
    stalled = any(condition["type"] == "Stalled" and condition["status"] == "True" for condition in status["conditions"])
    waits = (status.get("candidate") or {}).get("waitingFor")
    return "Suspended" if waits and not stalled else BY_PHASE[status["phase"]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", STORIES)
def test_argo_cd_kstatus_and_the_phase_agree_at_every_moment(name: str, seed: int | None) -> None:
    watcher = watch(name, seed)
    for seen in watcher.seen:
        health, message = PIPELINE.health(seen)
        assert health == expected(seen), (message, seen)
        assert health in AGREED[kstatus(seen)], (health, message, seen)
    for index, state in watcher.indexes:
        assert INDEX.health(index)[0] == ("Healthy" if state.ready and not state.collecting else "Progressing"), state
    assert any(state.ready for _, state in watcher.indexes)
    assert not all(state.ready for _, state in watcher.indexes)


@pytest.mark.parametrize("name", ["happy_canary", "spec_changes_to_c", "suspended_for_a_day"])
def test_every_new_spec_is_seen_before_the_operator_has_looked_at_it(name: str) -> None:
    behind = [seen for seen in watched(name) if seen["status"].get("observedGeneration") != seen["metadata"]["generation"]]
    assert len(behind) == watched(name)[-1]["metadata"]["generation"] > 1
    assert {(PIPELINE.health(seen)[0], kstatus(seen)) for seen in behind} == {("Progressing", "InProgress")}


@pytest.mark.parametrize("name", COURSES)
def test_the_course_of_health_tells_the_story(name: str) -> None:
    course = [health for health, _ in groupby(PIPELINE.health(seen)[0] for seen in watched(name))]
    assert course == COURSES[name]


@pytest.mark.parametrize("name", STORIES)
def test_one_of_the_three_conditions_is_true_at_every_moment(name: str) -> None:
    for seen in watched(name):
        said = {condition["type"]: condition["status"] for condition in seen["status"].get("conditions", ())}
        assert "True" in (said["Ready"], said["Reconciling"], said["Stalled"]) if said else seen["metadata"]["generation"] == 1


def test_an_approval_names_the_command() -> None:
    messages = [message for health, message in map(PIPELINE.health, watched("blue_green_with_approval")) if health == "Suspended"]
    assert "kubectl rag promote" in messages[0]


def test_a_status_of_an_older_spec_is_progress() -> None:
    seen = watched("happy_canary")[-1]
    assert PIPELINE.health(seen)[0] == "Healthy"
    seen["metadata"]["generation"] += 1
    assert (PIPELINE.health(seen)[0], kstatus(seen)) == ("Progressing", "InProgress")
    assert PIPELINE.health({"metadata": {"generation": 1}, "spec": {}})[0] == "Progressing"


def test_verbs_are_annotations_so_that_git_owns_the_spec() -> None:
    assert all(verb.startswith("ragops.dev/") for verb in VERBS)


@pytest.mark.parametrize(
    ("index", "health"),
    [
        ({"status": {"conditions": [{"type": "Ready", "status": "True", "message": ""}]}}, "Healthy"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "100 of 300 documents"}]}}, "Progressing"),
        ({}, "Progressing"),
        ({"spec": {"collecting": True}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "Progressing"),
    ],
)
def test_the_health_of_an_index(index: dict[str, Any], health: str) -> None:
    assert INDEX.health(index)[0] == health
