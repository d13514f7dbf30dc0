"""Conditions, phases and what people are told, from situations that occur."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.controller.events import transitions
from rag_operator.model import codec
from rag_operator.model.observed import ComponentState, Observed, TableState
from rag_operator.model.plan import Decision, Leaving, Plan, Record, Retired, Rollout
from rag_operator.model.validated import Violation
from rag_operator.rollout.identity import resolve
from rag_operator.status import conditions
from rag_operator.status.situation import Failure, Part, Situation
from rag_operator.status.summarize import summarize

NOW = 1_800_000_000.0
SPEC = RAGPipelineSpec.model_validate(
    {
        "sources": [{"name": "docs", "s3": {"bucket": "company-docs"}, "maxStaleness": "10m"}],
        "embedder": {
            "local": {
                "model": {"name": "acme/small", "revision": "1", "source": {"image": {"reference": "models:1", "path": "small"}}},
                "dimensions": 8,
            }
        },
        "vectorStore": {"milvus": {"standalone": {"storage": "1Gi"}}},
    }
)
REVISION = resolve("handbook", SPEC)
SERVING = Part(True, "Serving")


def states(**changes: Any) -> dict[str, ComponentState]:
    ready = {"exists": True, "ready": True}
    embedder = ComponentState("embedder", REVISION.embedder.name, **ready)
    index = ComponentState("index", REVISION.index.name, built=True, caught_up=True, **ready)
    found = {"embedder": embedder, "index": index}
    return {state.name: replace(state, **changes.get(kind, {})) for kind, state in found.items()}


def listed(seconds_ago: float, held: int = 0) -> RAGIndexStatus:
    from datetime import UTC, datetime

    start = datetime.fromtimestamp(NOW - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    listing = {"id": "1", "startTime": start}
    sync: dict[str, Any] = {"listing": listing, "documents": 7, "sources": [{"name": "docs", "listing": listing}]}
    if held:
        sync["deletionHeld"] = {"listing": "1", "documents": held, "of": 7}
    return RAGIndexStatus.model_validate({"sync": sync})


def situation(**changes: Any) -> Situation:
    """A pipeline that serves, with changes."""
    observed = Observed(
        components=states(), revisions={REVISION.name: REVISION}, table=TableState(1, {REVISION.name: 100}), gateways_known=True
    )
    found = Situation(
        generation=3,
        before=RAGPipelineStatus(phase="Ready"),
        record=Record(stable=REVISION.name),
        now=NOW,
        spec=SPEC,
        wanted=REVISION.name,
        plan=Plan(Record(stable=REVISION.name)),
        observed=observed,
        parts={"VectorStore": SERVING, "Gateway": SERVING, "Scaling": Part(True, "NotConfigured")},
        indexes={REVISION.index.name: listed(60)},
    )
    return replace(found, **changes)


def seen(found: Situation, **changes: Any) -> Observed:
    return replace(found.observed, components=states(**changes))


def told(found: Situation) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in conditions.conditions(found)}


BROKEN = Violation("ReferenceNotFound", "spec.x", "y", "z", "names no ConfigMap")
ROLLOUT = Rollout("candidate", "Indexing", steps=4, step=1, held="documents are being indexed")
CASES = {
    "it serves": ({}, "Ready", {"Ready": "True", "Reconciling": "False", "Stalled": "False"}),
    "the gateway is away": (
        {"parts": {"Gateway": Part(False, "Starting", "no pod")}},
        "Degraded",
        {"Ready": "False", "Reconciling": "True"},
    ),
    "a rollout is under way": (
        {"record": Record(stable=REVISION.name, rollout=ROLLOUT)},
        "RollingOut",
        {"Ready": "True", "Reconciling": "True"},
    ),
    "the spec is wrong while stable serves": ({"violations": (BROKEN,), "wanted": None}, "Degraded", {"Ready": "True", "Stalled": "True"}),
    "the spec was wrong from the start": (
        {"violations": (BROKEN,), "wanted": None, "record": Record()},
        "Failed",
        {"Ready": "False", "Stalled": "True"},
    ),
    "it is suspended": ({"spec": SPEC.model_copy(update={"suspend": True})}, "Suspended", {"Stalled": "True", "Reconciling": "False"}),
    "what it asks for was rejected": (
        {"wanted": "bad", "record": Record(stable=REVISION.name, rejected=("bad",))},
        "Degraded",
        {"Ready": "True", "Stalled": "True"},
    ),
    "a child was refused": (
        {"failure": Failure("ChildRefused", "422", lasting=True)},
        "Degraded",
        {"Stalled": "True", "Reconciling": "False"},
    ),
    "an update in place is under way": (
        {"unfinished": (Failure("RollingUpdate", "x is being updated"),)},
        "Ready",
        {"Ready": "True", "Reconciling": "True"},
    ),
    "an update in place cannot be scheduled": (
        {"unfinished": (Failure("Unschedulable", "0/1 nodes", lasting=True),)},
        "Degraded",
        {"Ready": "True", "Reconciling": "True"},
    ),
    "the server did not answer": ({"failure": Failure("ServerUnavailable", "x")}, "Ready", {"Reconciling": "True", "Stalled": "False"}),
}


def test_only_a_rollout_beside_a_stable_revision_shows_its_step() -> None:
    assert summarize(situation(record=Record(stable=REVISION.name, rollout=ROLLOUT))).step == "2/4"
    assert summarize(situation(record=Record(rollout=ROLLOUT))).step is None


@pytest.mark.parametrize("case", CASES)
def test_phase_and_conditions_say_the_same(case: str) -> None:
    changes, phase, expected = CASES[case]
    found = situation(**changes)
    assert summarize(found).phase == phase
    assert {kind: told(found)[kind][0] for kind in expected} == expected


@pytest.mark.parametrize("case", CASES)
def test_at_least_one_of_the_three_is_true_and_it_never_moves_and_halts_at_once(case: str) -> None:
    found = told(situation(**CASES[case][0]))
    three = [found[kind][0] for kind in ("Ready", "Reconciling", "Stalled")]
    assert "True" in three
    assert not (found["Reconciling"][0] == "True" and found["Stalled"][0] == "True")


def test_a_first_index_that_is_being_built_is_indexing() -> None:
    rollout = Rollout(REVISION.name, "Indexing")
    found = situation(record=Record(rollout=rollout))
    found = replace(found, observed=seen(found, index={"ready": False, "built": False, "reason": "Building", "message": "busy"}))
    status = summarize(found)
    assert (status.phase, status.reason, status.message) == ("Indexing", "Building", "busy")


def test_the_kubelets_words_reach_the_message() -> None:
    found = situation()
    said = {"ready": False, "reason": "ImagePullBackOff", "message": "container c: image x:1 cannot be pulled"}
    status = summarize(replace(found, observed=seen(found, embedder=said)))
    assert (status.phase, status.reason) == ("Degraded", "ImagePullBackOff")
    assert status.message == said["message"]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (listed(60), ("True", "Fresh")),
        (listed(601), ("False", "Stale")),
        (listed(60, held=3), ("False", "DeletionHeld")),
        (RAGIndexStatus(), ("Unknown", "NotSynced")),
    ],
)
def test_freshness_is_judged_by_the_oldest_listing(index: RAGIndexStatus, expected: tuple[str, str]) -> None:
    assert told(situation(indexes={REVISION.index.name: index}))["IndexFresh"] == expected


def test_what_was_not_looked_at_is_unknown() -> None:
    assert told(situation(parts={}))["GatewayReady"][0] == "Unknown"


def test_a_transition_time_stays_while_the_status_does() -> None:
    first = summarize(situation())
    later = summarize(situation(before=first, now=NOW + 100))
    assert {condition.last_transition_time for condition in later.conditions} == {
        condition.last_transition_time for condition in first.conditions
    }


def test_the_same_situation_gives_the_same_status_so_that_nothing_is_written_at_rest() -> None:
    first = summarize(situation())
    assert summarize(situation(before=first, now=NOW + 100)).to_wire() == first.to_wire()


def test_the_record_survives_in_the_status() -> None:
    record = Record(stable=REVISION.name, rollout=ROLLOUT, rejected=("bad",), decisions=(Decision("Aborted", "bad", NOW, "why"),), epoch=7)
    status = summarize(situation(record=record))
    assert codec.loads(RAGPipelineStatus.model_validate(status.to_wire()).record) == record


def test_a_pipeline_that_was_just_made_is_no_news_and_its_first_answer_is() -> None:
    fresh = summarize(situation(record=Record(), parts={"Gateway": Part(False, "Starting", "no pod")}))
    assert transitions(RAGPipelineStatus(), fresh) == []
    assert [note.reason for note in transitions(fresh, summarize(situation()))] == ["Ready"]


def test_an_event_is_made_of_a_transition_and_not_of_a_repetition() -> None:
    good = summarize(situation())
    bad = summarize(situation(before=good, parts={"Gateway": Part(False, "Starting", "no pod")}))
    assert [(note.reason, note.warning) for note in transitions(good, bad)] == [("Starting", True)]
    assert transitions(bad, bad) == []


def test_a_pipeline_that_never_answered_is_not_degraded_while_its_gateways_start() -> None:
    found = situation(before=RAGPipelineStatus(phase="Indexing"), parts={"Gateway": Part(False, "Starting", "no pod")})
    assert summarize(found).phase == "Pending"


def test_what_a_person_must_act_on_is_told_before_what_is_merely_waited_for() -> None:
    found = situation(
        record=Record(rollout=Rollout(REVISION.name, "Indexing")), parts={"Gateway": Part(False, "ImagePullBackOff", "no image")}
    )
    found = replace(found, observed=seen(found, index={"ready": False, "reason": "Building", "message": "busy"}))
    assert conditions.why_not_serving(found) == ("ImagePullBackOff", "no image")
    waiting = replace(found, parts={"Gateway": Part(False, "Starting", "no pod")})
    assert conditions.why_not_serving(waiting) == ("Building", "busy")


def test_a_revision_that_is_kept_for_rollback_says_the_same_at_every_look() -> None:
    kept = Record(stable=REVISION.name, retired=Retired("before", NOW + 3600))
    first = summarize(situation(record=kept))
    later = summarize(situation(record=kept, before=first, now=NOW + 60))
    assert later.retired == first.retired


def test_status_can_be_told_however_many_revisions_leave() -> None:
    leaving = tuple(Leaving(f"r{number}", NOW, "superseded") for number in range(20))
    told = summarize(situation(record=Record(stable=REVISION.name, leaving=leaving)))
    assert [one.revision for one in told.leaving] == [f"r{number}" for number in range(4, 20)]
    assert codec.loads(told.record).leaving == leaving


@pytest.mark.parametrize(
    ("said", "told"), [("OutOfnvidia.com/gpu", "OutOfnvidiacomgpu"), ("", "Unknown"), ("404", "Unknown"), ("A" * 200, "A" * 128)]
)
def test_a_reason_in_others_words_that_no_condition_takes_is_made_one(said: str, told: str) -> None:
    trouble = Failure(said, "Pod was rejected: not enough GPUs", lasting=True)
    found = {one.type: one.reason for one in summarize(situation(failure=trouble)).conditions}
    assert (found["Stalled"], summarize(situation(failure=trouble)).reason) == (told, told)
