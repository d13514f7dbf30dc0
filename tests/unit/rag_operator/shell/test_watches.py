"""What is done with an event of a watch: into the mirror, into the queue, and never an exception."""

from __future__ import annotations

import itertools
from typing import Any

from rag_operator import names
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.queue import Backoff, Queue
from rag_operator.kube.resources import DEPLOYMENTS, PIPELINES
from rag_operator.settings import Settings
from rag_operator.shell.watches import Backoffs, kopf_settings, receiver

KEY = Key("search", "handbook")


def body(version: int, **meta: Any) -> dict[str, Any]:
    labels = {names.LABEL_PIPELINE: "handbook"}
    return {"metadata": {"name": "handbook", "namespace": "search", "uid": "u", "resourceVersion": str(version), "labels": labels, **meta}}


def queue() -> Queue[Key]:
    return Queue(Backoff(), lambda: 0.0)


async def test_a_childs_event_makes_its_pipeline_due_once() -> None:
    due, receive = queue(), None
    receive = receiver(Mirror(), due)
    receive(DEPLOYMENTS, "ADDED", body(5))
    receive(DEPLOYMENTS, "MODIFIED", body(5))
    assert due.depth == 1
    assert await due.get() == KEY


def test_a_status_write_of_our_own_makes_nothing_due() -> None:
    due = queue()
    receive = receiver(Mirror(), due)
    receive(PIPELINES, None, body(5, generation=1))
    assert due.depth == 1
    due.forget(KEY)
    receive(PIPELINES, "MODIFIED", body(6, generation=1))
    assert due.depth == 0


async def test_a_new_spec_cuts_a_backoff_short() -> None:
    due = queue()
    receive = receiver(Mirror(), due)
    receive(PIPELINES, None, body(5, generation=1))
    await due.get()
    due.failed(KEY)
    assert due.depth == 0
    receive(PIPELINES, "MODIFIED", body(6, generation=2))
    assert due.depth == 1


def test_an_event_that_cannot_be_read_is_logged_and_nothing_else() -> None:
    due = queue()
    receiver(Mirror(), due)(DEPLOYMENTS, "ADDED", {"metadata": {}})
    assert due.depth == 0


def test_a_deletion_makes_its_pipeline_due() -> None:
    due, mirror = queue(), Mirror()
    mirror.put(DEPLOYMENTS, body(5))
    receiver(mirror, due)(DEPLOYMENTS, "DELETED", body(6))
    assert due.depth == 1


def test_kopf_is_told_to_write_nothing_and_to_see_only_what_is_a_pipelines() -> None:
    found = kopf_settings(Settings(namespaces="a,b"))
    assert not found.posting.enabled
    assert found.peering.standalone
    assert found.scanning.disabled
    assert found.persistence.finalizer != names.FINALIZER
    assert list(found.watching.label_selectors.values()) == [names.LABEL_PIPELINE]


def test_a_request_of_a_watch_is_repeated_without_an_end() -> None:
    waits = list(itertools.islice(iter(Backoffs()), 1000))
    assert len(waits) == 1000
    assert max(waits) == 5.0
