"""An index that is kept out of memory: what its RAGIndex asks for, how it stands, and whom it may be taken out of memory by."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.manifests import spec_of
from rag_operator import errors
from rag_operator.controller.assemble import index_statuses
from rag_operator.controller.components import View
from rag_operator.controller.indexes import intents
from rag_operator.controller.mirror import Mirror
from rag_operator.controller.writer import Writer
from rag_operator.desired.context import IndexIntent
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import INDEXES
from rag_operator.model.plan import Keep, Plan, Record, Retired
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import resolve
from rag_operator.status.index import index_conditions

NOW, UNTIL = 1_800_000_000.0, 1_800_003_600.0
TEXT = "2027-01-15T09:00:00Z"  # UNTIL
OLD = resolve("handbook", spec_of(), collection="rag_old")
ALIKE = resolve("handbook", spec_of(retrieval={"topK": 5}), collection="rag_old")
NEW = resolve("handbook", spec_of(embedder={"local": {"dimensions": 32}}), collection="rag_new")


def index(revision: Revision, work: dict[str, Any], **status: Any) -> Child:
    found = {
        "build": {"documents": 3, "chunks": 9, "startTime": "2027-01-01T00:00:00Z", "completionTime": "2027-01-01T00:01:00Z"},
        "sync": {"listing": {"id": "1", "startTime": "2027-01-01T00:02:00Z"}, "documents": 3, "chunks": 9},
        "observed": {"probes": "Equal", "loaded": True, "pendingRows": 0},
        **status,
    }
    meta = {"name": revision.index.name, "namespace": "n", "uid": revision.index.name, "resourceVersion": "7"}
    meta["labels"] = {"ragops.dev/pipeline": "handbook", "ragops.dev/component": revision.index.name}  # type: ignore[assignment]
    spec = {"work": work, "collecting": False, "collection": revision.collection}
    return reduce(INDEXES, {"metadata": meta, "spec": spec, "status": found})


def asked(*children: Child, keep: tuple[Keep, ...]) -> dict[str, IndexIntent]:
    known = {(one.kind, one.name): one for one in children}
    plan = Plan(Record(retired=Retired(OLD.name, UNTIL)), keep=keep)
    revisions = {one.name: one for one in (OLD, ALIKE, NEW)}
    return intents(plan, revisions, known, statuses=index_statuses(known), ready={}, now=NOW)


COLD_KEEP = Keep(OLD.name, "retired", idle=True)
SYNC = {"mode": "Sync", "attempt": 1}


def test_the_index_of_a_cold_revision_is_cold_until_the_window_is_over() -> None:
    work = asked(index(OLD, SYNC), keep=(Keep(NEW.name, "stable"), COLD_KEEP))[OLD.index.name].work
    assert (work.mode, work.attempt, str(work.cold_until)) == ("Sync", 2, TEXT)


@pytest.mark.parametrize(
    "keep",
    [
        (Keep(ALIKE.name, "stable"), COLD_KEEP),  # it shares the index
        (Keep(OLD.name, "candidate"),),
        (Keep(OLD.name, "retired"),),
    ],
)
def test_an_index_that_somebody_awake_needs_is_not_cold(keep: tuple[Keep, ...]) -> None:
    cold = {**SYNC, "coldUntil": TEXT}
    assert asked(index(OLD, cold), keep=keep)[OLD.index.name].work.cold_until is None


def test_what_was_cold_is_not_loaded_once_more_only_because_nobody_may_collect_it_yet() -> None:
    assert asked(index(OLD, COLD), keep=(Keep(NEW.name, "stable"),))[OLD.index.name].work.mode == "Stop"


@pytest.mark.parametrize("there", [(), (index(OLD, {**SYNC}, build=None),)], ids=["deleted", "without its build"])
def test_a_cold_index_that_must_be_filled_anew_waits_until_somebody_goes_back(there: tuple[Child, ...]) -> None:
    assert asked(*there, keep=(Keep(NEW.name, "stable"), COLD_KEEP))[OLD.index.name].work.mode == "Stop"
    assert asked(*there, keep=(Keep(NEW.name, "stable"), Keep(OLD.name, "candidate")))[OLD.index.name].work.mode == "Build"


def test_an_index_that_another_one_is_copied_from_waits_with_going_cold() -> None:
    copies = {"mode": "Copy", "attempt": 1, "from": {"index": OLD.index.name, "collection": "rag_old", "dimensions": 384}}
    found = asked(index(OLD, SYNC), index(NEW, copies, build=None), keep=(Keep(NEW.name, "candidate"), COLD_KEEP))
    assert found[OLD.index.name].work.cold_until is None


COLD = {**SYNC, "coldUntil": TEXT}


@pytest.mark.parametrize(
    ("work", "acknowledged", "reason"),
    [
        (COLD, SYNC, "Cold"),
        (COLD, COLD, "Cold"),
        (SYNC, COLD, "Loading"),
        (SYNC, {"mode": "Sync", "attempt": 0}, "Loading"),  # said before it went cold
        (SYNC, SYNC, ""),
    ],
)
@pytest.mark.parametrize("answering", [True, False])
def test_an_index_that_is_or_was_cold_is_not_ready_until_its_syncer_says_that_it_is_loaded(
    work: dict[str, Any], acknowledged: dict[str, Any], reason: str, *, answering: bool
) -> None:
    child = index(OLD, work, acknowledged=acknowledged)
    view = View([OLD], {(child.kind, child.name): child}, weights={OLD.name: 0} if answering else {})
    state = view.states()[OLD.index.name]
    assert (state.ready, state.reason, state.cold) == (not reason, reason, work == COLD)


@pytest.mark.parametrize(
    ("work", "filled", "woken"),
    [
        ({**SYNC, "attempt": 2}, {"mode": "Build", "attempt": 1}, True),
        (SYNC, {"mode": "Build", "attempt": 1}, False),  # it was never cold
        ({**COLD, "attempt": 2}, {"mode": "Build", "attempt": 1}, False),  # it is
        ({"mode": "Stop", "attempt": 2}, {"mode": "Build", "attempt": 1}, False),  # nobody needs it any more
        ({**SYNC, "attempt": 2}, None, False),
    ],
)
def test_an_index_that_was_cold_is_known_for_it_also_when_its_syncer_follows_it_again(
    work: dict[str, Any], filled: dict[str, Any] | None, *, woken: bool
) -> None:
    child = index(OLD, work, acknowledged=work, completed=filled)
    assert View([OLD], {(child.kind, child.name): child}).states()[OLD.index.name].woken is woken


def test_the_conditions_of_a_cold_index_say_so_and_until_when() -> None:
    child = index(OLD, COLD)
    known = {(child.kind, child.name): child}
    state = View([OLD], known).states()[OLD.index.name]
    found = index_conditions(state, index_statuses(known)[OLD.index.name], (), 1, NOW)
    assert {(one.type, one.status, one.reason) for one in found} == {(kind, "False", "Cold") for kind in ("Ready", "CaughtUp", "Fresh")}
    assert all(TEXT in one.message for one in found)


class Moved:
    """A server on which the object is newer than was seen."""

    async def apply(self, manifest: dict[str, Any], **_: Any) -> dict[str, Any]:
        if manifest["metadata"].get("resourceVersion") == "7":
            raise errors.Conflict("the object has been modified", status=409)
        return manifest


async def test_an_index_is_taken_out_of_memory_only_as_it_was_seen() -> None:
    child = index(OLD, SYNC)
    writer = Writer(Moved(), Mirror())  # type: ignore[arg-type]
    manifest = {"apiVersion": "ragops.dev/v1alpha1", "kind": "RAGIndex", "metadata": {"name": child.name, "namespace": "n"}}
    with pytest.raises(errors.Conflict):
        await writer.bring([{**manifest, "spec": {"work": COLD}}], {(child.kind, child.name): child})
