"""When a component can take part in answering, and why not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from doubles.manifests import spec_of
from rag_operator import names
from rag_operator.controller.components import View
from rag_operator.controller.pods import Trouble
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import DEPLOYMENTS, INDEXES, JOBS, PODS, Resource
from rag_operator.model.observed import ComponentState
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import resolve
from rag_runtime.contracts import pods

REVISION = resolve("handbook", spec_of())
REBUILT = resolve("handbook", spec_of(embedder={"local": {"model": {"source": {"image": {"reference": "ragops.dev/models:0.2"}}}}}))
LARGE = resolve("handbook", spec_of(embedder={"local": {"model": {"name": "acme/large"}}}))
EMBEDDER, INDEX = REVISION.embedder.name, REVISION.index.name
BUILT = 1_000_000.0


def time(seconds: float) -> str:
    return datetime.fromtimestamp(BUILT + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def child(resource: Resource, name: str, component: str, kind: str, **body: Any) -> Child:
    labels = {names.LABEL_PIPELINE: "handbook", names.LABEL_COMPONENT: component, names.LABEL_KIND: kind}
    meta = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1", "labels": labels, **body.pop("meta", {})}
    return reduce(resource, {"metadata": meta, **body})


def index(**status: Any) -> Child:
    return child(INDEXES, INDEX, INDEX, "index", spec={"collecting": False}, status=status)


def filled(**changes: Any) -> dict[str, Any]:
    listing = {"id": "1", "startTime": time(5)}
    found = {
        "build": {"documents": 3, "chunks": 9, "startTime": time(-9), "completionTime": time(0)},
        "sync": {"listing": listing, "documents": 3, "chunks": 9},
        "observed": {"probes": "Equal", "loaded": True, "pendingRows": 0},
    }
    return {**found, **changes}


def found(*children: Child, weights: dict[str, int] | None = None) -> dict[str, ComponentState]:
    return View([REVISION], {(one.kind, one.name): one for one in children}, weights=weights or {}).states()


def deployment(ready: int) -> Child:
    return child(DEPLOYMENTS, EMBEDDER, EMBEDDER, "embedder", spec={"replicas": 2}, status={"readyReplicas": ready})


@pytest.mark.parametrize(("ready", "expected"), [(0, False), (1, True), (2, True)])
def test_an_embedder_is_ready_with_its_first_pod(ready: int, *, expected: bool) -> None:
    state = found(deployment(ready))[EMBEDDER]
    assert (state.ready, state.ready_replicas, state.desired_replicas) == (expected, ready, 2)


def test_what_others_run_is_there_and_nothing_to_take_away() -> None:
    external = {"url": "https://models.example.com/v1", "model": "e", "dimensions": 8, "revision": "1"}
    revision = resolve("handbook", spec_of(embedder={"local": None, "external": external}))
    state = View([revision], {}).states()[revision.embedder.name]
    assert (state.ready, state.elsewhere) == (True, True)
    assert not found(deployment(1))[EMBEDDER].elsewhere


def test_what_does_not_exist_is_missing() -> None:
    said = {name: (state.exists, state.reason) for name, state in found().items()}
    assert said == {EMBEDDER: (False, "Missing"), INDEX: (False, "Missing")}


def test_an_unready_embedder_speaks_in_the_words_of_its_pods() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    pod = child(PODS, "p", EMBEDDER, "embedder", status={"conditions": [condition]})
    state = found(deployment(0), pod)[EMBEDDER]
    assert (state.reason, state.message) == ("Unschedulable", "0/1 nodes are available")


def test_an_index_whose_status_cannot_be_read_goes_on_answering_and_a_new_one_waits() -> None:
    odd = index(build="done")
    assert (found(odd)[INDEX].ready, found(odd)[INDEX].reason) == (False, "StatusUnreadable")
    answering = found(odd, weights={REVISION.name: 100})[INDEX]
    assert (answering.ready, answering.built, answering.reason) == (True, True, "")


def test_pods_of_another_component_say_nothing_about_it() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "x"}
    pod = child(PODS, "p", "another", "embedder", status={"conditions": [condition]})
    assert found(deployment(0), pod)[EMBEDDER].reason == "Starting"


def test_a_full_index_is_ready() -> None:
    state = found(index(**filled()))[INDEX]
    assert (state.ready, state.built, state.caught_up, state.reason) == (True, True, True, "")


def test_an_index_makes_progress_until_it_has_caught_up_and_not_with_every_document_that_comes_later() -> None:
    def progress(chunks: int, listed: float) -> int:
        sync = {"listing": {"id": "1", "startTime": time(listed)}, "documents": 3, "chunks": chunks}
        return found(index(**filled(sync=sync)))[INDEX].progress

    assert progress(9, -1) < progress(20, -1) < progress(20, 5) == progress(90_000, 5)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({}, "Building"),
        (filled(sync={"listing": {"id": "0", "startTime": time(-1)}}), "CatchingUp"),
        (filled(observed={"probes": "Equal", "loaded": False}), "Loading"),
        (filled(observed={"probes": "Equal", "loaded": True, "pendingRows": 4}), "Indexing"),
        (filled(observed={"probes": "Unknown", "loaded": True}), "Unverified"),
        (filled(observed={"probes": "Different", "loaded": True}), "FingerprintMismatch"),
    ],
)
def test_an_index_is_not_ready_until_everything_holds(status: dict[str, Any], reason: str) -> None:
    state = found(index(**status))[INDEX]
    assert (state.ready, state.reason) == (False, reason)
    assert state.failed == (reason == "FingerprintMismatch")


@pytest.mark.parametrize(
    "status",
    [
        filled(sync={"documents": 3}),  # the syncer starts again
        filled(observed={"probes": "Equal", "loaded": True, "pendingRows": 4}),  # it takes in changes
        filled(observed={"probes": "Unknown", "loaded": True, "pendingRows": 0}),  # its embedder could not be asked just now
    ],
)
@pytest.mark.parametrize("weight", [5, 0], ids=["with weight", "retired or being evaluated"])
def test_an_index_that_the_table_names_stays_ready_while_it_takes_in_changes(status: dict[str, Any], weight: int) -> None:
    assert found(index(**status), weights={REVISION.name: weight})[INDEX].ready
    assert not found(index(**status), weights={"another": 100})[INDEX].ready


def test_an_index_that_answers_is_lost_when_it_is_not_loaded_or_lies() -> None:
    for observed in ({"probes": "Equal", "loaded": False}, {"probes": "Different", "loaded": True}):
        for weight in (100, 0):
            assert not found(index(**filled(observed=observed)), weights={REVISION.name: weight})[INDEX].ready


def url_of(revision: Revision) -> str:
    return f"http://{revision.embedder.name}.n.svc:{pods.EMBEDDER_PORT}"


def shared(filled_by: Revision, observed: dict[str, Any], weights: dict[str, int] | None = None) -> tuple[ComponentState, dict[str, Any]]:
    """An index that both revisions answer from: as it is by itself, and as the embedder finds it that does not fill it."""
    status = filled(observed={"loaded": True, "pendingRows": 0, **observed})
    spec = {"collecting": False, "embedder": {"url": url_of(filled_by)}}
    children = {(INDEXES.kind, INDEX): child(INDEXES, INDEX, INDEX, "index", spec=spec, status=status)}
    view = View([REVISION, REBUILT], children, weights=weights or {})
    return view.states()[INDEX], view.pairs()


def seen_by(**probes: str) -> dict[str, Any]:
    """What the syncer measured of each embedder."""
    of = {"first": REVISION, "rebuilt": REBUILT}
    return {"embedders": [{"url": url_of(of[name]), "probes": said} for name, said in probes.items()]}


def test_an_embedder_that_was_not_compared_with_a_shared_index_is_not_ready_to_answer_from_it() -> None:
    by_itself, by_other = shared(REVISION, {"probes": "Equal"}, {REVISION.name: 100})
    assert by_itself.ready
    assert set(by_other) == {REBUILT.name}
    pair = by_other[REBUILT.name]
    assert (pair.ready, pair.failed, pair.reason, pair.built) == (False, False, "Unverified", True)


def test_an_embedder_that_differs_from_a_shared_index_fails_for_its_own_revision_alone() -> None:
    by_itself, by_other = shared(REVISION, {"probes": "Equal", **seen_by(first="Equal", rebuilt="Different")}, {REVISION.name: 100})
    assert by_itself.ready
    assert (by_other[REBUILT.name].failed, by_other[REBUILT.name].reason) == (True, "FingerprintMismatch")


def test_who_fills_the_index_now_may_differ_and_leaves_the_one_before_as_good_as_it_was() -> None:
    seen = {"probes": "Different", **seen_by(rebuilt="Different", first="Equal")}
    by_itself, by_other = shared(REBUILT, seen, {REBUILT.name: 100, REVISION.name: 0})
    assert by_itself.failed
    assert by_other[REVISION.name].ready


def test_an_embedder_that_equals_a_shared_index_is_ready_and_stays_so_while_it_answers() -> None:
    equal, unknown = seen_by(first="Equal", rebuilt="Equal"), seen_by(first="Equal", rebuilt="Unknown")
    assert shared(REVISION, {"probes": "Equal", **equal}, {REVISION.name: 100})[1][REBUILT.name].ready
    assert shared(REVISION, {"probes": "Equal", **unknown}, {REVISION.name: 50, REBUILT.name: 50})[1][REBUILT.name].ready
    assert shared(REVISION, {"probes": "Equal", **unknown}, {REVISION.name: 100, REBUILT.name: 0})[1][REBUILT.name].ready
    assert not shared(REVISION, {"probes": "Equal", **unknown}, {REVISION.name: 100})[1][REBUILT.name].ready


def test_revisions_with_one_embedder_have_one_opinion_of_their_index() -> None:
    more = resolve("handbook", spec_of(retrieval={"topK": 20}))
    spec = {"collecting": False, "embedder": {"url": url_of(REVISION)}}
    children = {(INDEXES.kind, INDEX): child(INDEXES, INDEX, INDEX, "index", spec=spec, status=filled())}
    assert View([REVISION, more], children).pairs() == {}


def test_an_index_has_a_writer_while_a_job_of_it_runs() -> None:
    stop = {"acknowledged": {"mode": "Stop", "attempt": 1}}
    job = child(JOBS, f"{INDEX}-build-1", INDEX, "indexer", status={"active": 1})
    assert not found(index(**stop), job)[INDEX].stopped
    assert found(index(**stop))[INDEX].stopped


@pytest.mark.parametrize(("phase", "stopped"), [("Pending", False), ("Running", False), ("Succeeded", True), ("Failed", True)])
def test_an_index_has_a_writer_while_a_pod_of_a_job_that_was_deleted_still_runs(phase: str, *, stopped: bool) -> None:
    stop = {"acknowledged": {"mode": "Stop", "attempt": 1}}
    pod = child(PODS, "p", INDEX, "indexer", status={"phase": phase}, meta={"deletionTimestamp": time(0)})
    assert found(index(**stop), pod)[INDEX].stopped == stopped


@pytest.mark.parametrize(("conditions", "stopped"), [([], False), (["Complete"], True), (["Failed"], True), (["FailureTarget"], False)])
def test_a_job_that_nobody_took_up_yet_may_still_write(conditions: list[str], *, stopped: bool) -> None:
    stop = {"acknowledged": {"mode": "Stop", "attempt": 1}}
    job = child(JOBS, f"{INDEX}-build-1", INDEX, "indexer", status={"conditions": [{"type": one, "status": "True"} for one in conditions]})
    assert found(index(**stop), job)[INDEX].stopped == stopped


def test_components_that_no_record_names_are_seen_too() -> None:
    stray = child(DEPLOYMENTS, "stray", "stray", "generator", spec={"replicas": 1}, status={})
    assert found(stray)["stray"].exists


def test_an_index_whose_build_may_not_make_its_pods_says_so() -> None:
    job = child(JOBS, f"{INDEX}-build-1", INDEX, "indexer", status={})
    quota = Trouble("FailedCreate", "exceeded quota", job.name)
    said = View([REVISION], {(one.kind, one.name): one for one in (index(), job)}, slow=[quota]).states()[INDEX]
    assert (said.reason, said.message) == ("FailedCreate", "exceeded quota")


@pytest.mark.parametrize(("listed", "expected"), [(5, False), (99, False), (100, True), (101, True)])
def test_a_candidate_has_caught_up_when_its_listing_is_no_older_than_stables(listed: float, *, expected: bool) -> None:
    state = candidate(stables=100, own=listed)
    assert (state.caught_up, state.ready, state.reason) == (expected, expected, "" if expected else "CatchingUp")


def test_an_index_that_answers_may_tell_of_a_listing_later_than_stables_but_not_much() -> None:
    interval = REVISION.spec.sources[0].sync_interval.seconds
    last = 10_000 - 60 - 2 * interval
    for own, expected in ((9_999, True), (last, True), (last - 1, False)):
        state = candidate(stables=10_000, own=own, weights={LARGE.name: 0})
        assert (state.caught_up, state.ready) == (expected, True)


def test_without_a_listing_of_stables_only_the_end_of_the_build_counts() -> None:
    assert candidate(stables=None, own=5).caught_up
    assert not candidate(stables=None, own=-1).caught_up


def candidate(stables: float | None, own: float, weights: dict[str, int] | None = None) -> ComponentState:
    """The index of another model beside stable's; `stables` and `own`: when the listings began that they have applied, after the build."""

    def listed(began: float | None) -> dict[str, Any]:
        return {"listing": {"id": "1", "startTime": time(began)} if began is not None else None, "documents": 3, "chunks": 9}

    both = [(REVISION.index.name, stables), (LARGE.index.name, own)]
    children = [child(INDEXES, name, name, "index", spec={"collecting": False}, status=filled(sync=listed(began))) for name, began in both]
    view = View([REVISION, LARGE], {(one.kind, one.name): one for one in children}, stable=REVISION, weights=weights or {})
    return view.states()[LARGE.index.name]
