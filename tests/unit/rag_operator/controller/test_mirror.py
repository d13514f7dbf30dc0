"""The mirror: never older than what we wrote, quiet about echoes, whole after a comparison."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator import names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.kube.resources import DEPLOYMENTS, INDEXES, PIPELINES, Resource

KEY = Key("search", "handbook")


def deployment(version: int, *, uid: str = "u1", name: str = "gateway", pipeline: str | None = "handbook") -> dict[str, Any]:
    labels = {names.LABEL_PIPELINE: pipeline} if pipeline else {}
    return {"metadata": {"name": name, "namespace": "search", "uid": uid, "resourceVersion": str(version), "labels": labels}, "spec": {}}


def pipeline(version: int, *, generation: int = 1, verbs: dict[str, str] | None = None) -> dict[str, Any]:
    meta = {"name": "handbook", "namespace": "search", "uid": "p", "resourceVersion": str(version), "generation": generation}
    return {"metadata": {**meta, "annotations": verbs or {}}, "spec": {}}


def test_a_new_child_is_news_and_its_echo_is_not() -> None:
    mirror = Mirror()
    assert mirror.put(DEPLOYMENTS, deployment(5)) == KEY
    assert mirror.put(DEPLOYMENTS, deployment(5)) is None


def test_an_event_older_than_what_is_known_is_ignored() -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, deployment(9))
    assert mirror.put(DEPLOYMENTS, deployment(8)) is None
    assert mirror.children(KEY)["Deployment", "gateway"].version == 9


def test_versions_are_compared_as_numbers() -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, deployment(9))
    assert mirror.put(DEPLOYMENTS, deployment(10)) == KEY


def test_a_late_event_does_not_bring_a_deleted_child_back() -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, deployment(5))
    assert mirror.remove(DEPLOYMENTS, deployment(6)) == KEY
    assert mirror.put(DEPLOYMENTS, deployment(5)) is None
    assert mirror.children(KEY) == {}


@pytest.mark.parametrize(
    ("told", "before", "answer", "news"),
    [
        ("our own write alone", {"readyReplicas": 1}, {"readyReplicas": 1}, False),
        ("a report that came between our look and our write", {}, {"readyReplicas": 1}, True),
        ("a report that was taken back", {"readyReplicas": 1}, {}, True),
    ],
)
@pytest.mark.parametrize("spec", [True, False])
def test_news_in_the_answer_to_our_own_write_is_told_once_because_its_event_looks_old(
    told: str, before: dict[str, Any], answer: dict[str, Any], news: bool, spec: bool
) -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, {**deployment(5), "status": before})
    mirror.answered(DEPLOYMENTS, {**deployment(7), "status": answer}, spec=spec)
    assert mirror.put(DEPLOYMENTS, {**deployment(6), "status": answer}) is None
    assert mirror.overtaken(KEY) is news, told
    assert not mirror.overtaken(KEY)


def test_the_conditions_that_we_write_of_an_index_are_no_news_and_what_its_indexers_say_is() -> None:
    mirror = Mirror()
    mirror.put(INDEXES, {**deployment(5), "status": {"build": {"documents": 1}}})
    mirror.answered(INDEXES, {**deployment(6), "status": {"build": {"documents": 1}, "conditions": [{"type": "Ready"}]}}, spec=False)
    assert not mirror.overtaken(KEY)
    mirror.answered(INDEXES, {**deployment(8), "status": {"build": {"documents": 2}, "conditions": [{"type": "Ready"}]}}, spec=False)
    assert mirror.overtaken(KEY)


def test_a_child_that_was_there_before_we_made_it_brings_its_news() -> None:
    mirror = Mirror()
    mirror.answered(DEPLOYMENTS, {**deployment(5), "status": {"readyReplicas": 1}}, spec=True)
    assert mirror.overtaken(KEY)


def test_a_child_made_anew_under_the_same_name_is_kept_when_the_old_ones_deletion_arrives() -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, deployment(5, uid="old"))
    mirror.put(DEPLOYMENTS, deployment(8, uid="new"))
    mirror.remove(DEPLOYMENTS, deployment(7, uid="old"))
    assert mirror.children(KEY)["Deployment", "gateway"].uid == "new"


def test_what_carries_no_pipelines_label_is_nobodys() -> None:
    assert Mirror().put(DEPLOYMENTS, deployment(5, pipeline=None)) is None


def test_a_status_write_of_our_own_is_not_news() -> None:
    mirror = Mirror()
    mirror.put(PIPELINES, pipeline(5))
    assert mirror.put(PIPELINES, pipeline(6)) is None


def test_a_new_generation_and_a_new_verb_are_what_a_person_asks_for() -> None:
    mirror = Mirror()
    mirror.put(PIPELINES, pipeline(5))
    assert mirror.asked(pipeline(6, generation=2))
    assert mirror.asked(pipeline(6, verbs={names.VERB_ABORT: "x"}))
    assert not mirror.asked(pipeline(6))


def test_comparing_with_a_complete_list_finds_what_a_watch_lost() -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, deployment(5, uid="gone"))
    known = mirror.uids(DEPLOYMENTS)
    assert mirror.put(DEPLOYMENTS, deployment(7, uid="there", name="embedder")) == KEY
    assert list(mirror.sweep(DEPLOYMENTS, known - {"there"}, as_of=9)) == [KEY]
    assert set(mirror.children(KEY)) == {("Deployment", "embedder")}


@pytest.mark.parametrize("resource", [DEPLOYMENTS, PIPELINES])
def test_a_list_that_is_older_than_what_is_known_takes_nothing_away(resource: Resource) -> None:
    mirror = Mirror()
    body = deployment(8) if resource is DEPLOYMENTS else pipeline(8)
    mirror.put(resource, body)
    assert list(mirror.sweep(resource, mirror.uids(resource), as_of=7)) == []
    assert mirror.uids(resource) == {body["metadata"]["uid"]}
    assert list(mirror.sweep(resource, mirror.uids(resource), as_of=8)) == [KEY]


def test_of_a_kind_that_is_not_served_any_more_nothing_is_left() -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, deployment(8))
    assert list(mirror.sweep(DEPLOYMENTS, mirror.uids(DEPLOYMENTS), as_of=None)) == [KEY]


def test_a_pipeline_without_object_and_children_is_forgotten() -> None:
    mirror = Mirror()
    mirror.put(DEPLOYMENTS, deployment(5))
    mirror.forget(KEY)
    assert mirror.keys() == {KEY}
    mirror.remove(DEPLOYMENTS, deployment(6))
    mirror.forget(KEY)
    assert mirror.keys() == set()


def test_the_generation_of_our_own_last_write_is_remembered_while_others_raise_it() -> None:
    mirror = Mirror()
    mine, theirs = deployment(5), deployment(6)
    mine["metadata"]["generation"], theirs["metadata"]["generation"] = 2, 3
    mirror.put(DEPLOYMENTS, mine, ours=True)
    mirror.put(DEPLOYMENTS, theirs)
    found = mirror.children(KEY)["Deployment", "gateway"]
    assert (found.applied, found.generation) == (2, 3)
