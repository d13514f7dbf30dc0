"""The pure middle of a pass: what is wanted, under which names, and which table says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from doubles.manifests import OWNER, TEMPLATES, revision_of, spec_of
from doubles.seen import seen_of
from rag_operator import names
from rag_operator.controller.analysis import Baselines
from rag_operator.controller.decide import Given, Judged, build, decide, entrusting_nobody, judge, table
from rag_operator.controller.observe import Seen
from rag_operator.desired import images, revision_record
from rag_operator.desired.context import Surroundings
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import CONTROLLER_REVISIONS, INDEXES, Resource
from rag_operator.model.observed import TableState
from rag_operator.model.plan import Record, Rollout, TableIntent
from rag_operator.model.revision import Revision
from rag_operator.model.validated import References, Violation
from rag_operator.rollout.identity import resolve

SPEC = spec_of()
NOW = 1_800_000_000.0


def stored(resource: Resource, manifest: Mapping[str, Any]) -> Child:
    meta = {**manifest["metadata"], "uid": manifest["metadata"]["name"], "resourceVersion": "1"}
    return reduce(resource, {**manifest, "metadata": meta})


def seen(*children: Child, record: Record | None = None, violations: tuple[Violation, ...] = (), maps: Any = None) -> Seen:
    spec, references = None if violations else SPEC, References(config_maps=maps)
    return seen_of(spec, children, record=record, violations=violations, references=references)


def given(suffix: str = "aaaaaaaa") -> Given:
    return Given(TEMPLATES, Baselines(lambda: NOW), suffix, NOW)


def first(suffix: str = "aaaaaaaa") -> Any:
    look = seen()
    found = decide(look, judge(look), given(suffix))
    assert found is not None
    assert found.wanted is not None
    return found.wanted


def test_a_first_look_wants_what_the_spec_resolves_to_under_a_collection_of_its_own() -> None:
    assert first().collection == f"rag_{first().index.digest[: names.HASH_LENGTH]}_aaaaaaaa"


def test_the_collection_is_chosen_once_and_then_read_from_the_record() -> None:
    record = stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, first("11111111"), 1))
    look = seen(record)
    found = decide(look, judge(look), given("22222222"))
    assert found is not None
    assert found.wanted is not None
    assert found.wanted.collection.endswith("_11111111")


def test_an_index_without_a_record_is_adopted_with_the_data_that_it_names() -> None:
    index = {"metadata": {"name": first().index.name, "namespace": "search"}, "spec": {"collection": "rag_old_1", "collecting": False}}
    look = seen(stored(INDEXES, index))
    found = decide(look, judge(look), given())
    assert found is not None
    assert found.wanted is not None
    assert found.wanted.collection == "rag_old_1"
    assert found.observed.adopted_indexes == (first().index.name,)


def test_an_index_that_is_being_collected_is_not_adopted_but_built_anew() -> None:
    index = {"metadata": {"name": first().index.name, "namespace": "search"}, "spec": {"collection": "rag_old_1", "collecting": True}}
    look = seen(stored(INDEXES, index))
    found = decide(look, judge(look), given("33333333"))
    assert found is not None
    assert found.wanted is not None
    assert found.wanted.collection.endswith("_33333333")


def test_a_wrong_spec_without_a_record_decides_nothing() -> None:
    look = seen(violations=(Violation("InvalidSpec", "spec", "", "", "x"),))
    assert decide(look, judge(look), given()) is None


def test_a_wrong_spec_leaves_what_is_recorded_as_it_is() -> None:
    revision = first()
    record = stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, revision, 1))
    look = seen(record, record=Record(stable=revision.name), violations=(Violation("InvalidSpec", "spec", "", "", "x"),))
    found = decide(look, judge(look), given())
    assert found is not None
    assert found.wanted is None
    assert found.newest.name == revision.name
    assert [keep.revision for keep in found.plan.keep] == [revision.name]


BETTER = spec_of(
    sources=[{"name": "docs", "configMap": {"name": "documents"}}, {"name": "more", "configMap": {"name": "notes"}}],
    embedder={"local": {"model": {"revision": "2"}, "replicas": 3}},
    gateway={"replicas": 4, "auth": {"apiKeysSecretRef": {"name": "keys"}}},
    deletionPolicy="Delete",
)
THERE: dict[str, dict[str, str]] = {"documents": {}, "notes": {}}


@pytest.mark.parametrize("rejected", [False, True], ids=["under way", "rejected and gone"])
@pytest.mark.parametrize("readable", [True, False], ids=["a reference is lost", "not even readable"])
def test_a_spec_that_becomes_wrong_changes_nothing_of_what_was_wanted_last(*, rejected: bool, readable: bool) -> None:
    stable, other = first(), resolve(OWNER.name, BETTER, images=images.chosen(TEMPLATES, BETTER), collection="rag_new_2")
    rollout = Rollout(candidate=other.name, phase="Indexing", steps=1)
    record = Record(stable=stable.name, rejected=(other.name,)) if rejected else Record(stable=stable.name, rollout=rollout)
    recorded = [revision_record.refreshed(OWNER, {"revision": 1, "data": data_of(stable)}, stable, other)]
    if not rejected:
        recorded.append(revision_record.refreshed(OWNER, {"revision": 2, "data": data_of(other)}, other, other))
    look = replace(seen(*(stored(CONTROLLER_REVISIONS, one) for one in recorded), record=record, maps=THERE), spec=BETTER)
    assert judge(look).valid is not None
    wrong = replace(look, references=References(config_maps={})) if readable else replace(look, spec=None)
    before, after = manifests(look), manifests(wrong)
    assert {name: one for name, one in after.items() if one != before.get(name)} == {}
    assert set(after) == set(before)


def data_of(revision: Revision) -> Mapping[str, Any]:
    found: Mapping[str, Any] = revision_record.manifest(OWNER, revision, 1)["data"]
    return found


def manifests(look: Seen) -> dict[tuple[str, str], Any]:
    found = decide(look, judge(look), given())
    assert found is not None
    built = build(look, found, Surroundings(cluster="c-1"), NOW)
    return {(one["kind"], one["metadata"]["name"]): one for one in built}


def test_what_was_wanted_last_is_remembered_only_where_it_is_not_a_record_s_own() -> None:
    stable, other = first(), resolve(OWNER.name, BETTER, images=images.chosen(TEMPLATES, BETTER))
    kept = {"revision": 1, "data": data_of(stable)}
    for newest, remembered in ((other, (BETTER, other.images)), (stable, None)):
        annotations = revision_record.refreshed(OWNER, kept, stable, newest)["metadata"]["annotations"]
        assert revision_record.last_valid(annotations) == remembered
    assert annotations[names.ANNOTATION_LAST_VALID] is None  # taken away where it was


def test_a_reference_that_is_missing_is_a_violation() -> None:
    judged = judge(seen(maps={}))
    assert isinstance(judged, Judged)
    assert [violation.reason for violation in judged.violations] == ["ReferenceNotFound"]


def test_there_is_no_table_before_there_is_something_to_answer_by() -> None:
    look = seen()
    found = decide(look, judge(look), given())
    assert found is not None
    assert table(look, found) is None


def test_a_route_carries_the_fingerprint_that_its_own_embedder_was_compared_with() -> None:
    rebuilt = spec_of(embedder={"local": {"model": {"source": {"image": {"reference": "ragops.dev/models:0.2"}}}}})
    first_one, other = revision_of(), revision_of(rebuilt)
    assert first_one.index.name == other.index.name

    def fingerprints(probes: str) -> list[str | None]:
        url = f"http://{other.embedder.name}.{OWNER.namespace}.svc:8080"
        embedders = [{"url": url, "probes": probes, "modelFingerprint": "packed anew"}]
        status = {"observed": {"modelFingerprint": "of the index", "embedders": embedders}}
        index = {"metadata": {"name": first_one.index.name, "namespace": OWNER.namespace}, "spec": {"collection": "c"}, "status": status}
        records = [stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, one, 1)) for one in (first_one, other)]
        look = seen(stored(INDEXES, index), *records, record=Record(stable=first_one.name))
        found = decide(look, judge(look), given())
        assert found is not None
        weights = TableIntent({first_one.name: 100, other.name: 0}, "", "")
        made = table(look, replace(found, plan=replace(found.plan, table=weights)))
        assert made is not None
        by_revision = {route.revision: route.embedder.fingerprint for route in made.routes}
        return [by_revision[first_one.name], by_revision[other.name]]

    assert fingerprints("Equal") == ["of the index", "packed anew"]
    assert fingerprints("Unknown") == ["of the index", "packed anew"]
    assert fingerprints("Different") == ["of the index", "of the index"]


def test_when_live_traffic_was_first_asked_for_is_known_although_it_cannot_be_read() -> None:
    look = seen(record=Record(stable="s", rollout=Rollout("c", "Shifting", weight=10)))
    found = decide(look, judge(look), given())
    assert found is not None
    assert (found.observed.analysis, found.observed.analysis_heard) == (None, NOW)


SHARED, NOBODY = {"s": 50, "c": 50}, {"s": 100}


@pytest.mark.parametrize(
    ("before", "wanted", "left"),
    [
        (SHARED, {"s": 100, "r": 0}, {"s": 100}),
        (SHARED, {"s": 100, "c": 0, "r": 0}, {"s": 100, "c": 0}),
        (SHARED, {"r": 100, "s": 0}, {"r": 100, "s": 0}),
        (NOBODY, {"s": 90, "c": 10}, None),
        (NOBODY, {"s": 100, "c": 0}, {"s": 100}),
        (None, {"s": 100}, None),
    ],
    ids=["aborted, and one is listed again", "unready, and one is listed again", "rolled back", "gains", "is listed", "the first table"],
)
def test_of_a_table_that_may_entrust_nobody_only_what_takes_away_is_left(
    before: dict[str, int] | None, wanted: dict[str, int], left: dict[str, int] | None
) -> None:
    look = seen(record=Record(stable="s"))
    found = decide(look, judge(look), given())
    assert found is not None
    record = Record(stable="s", rollout=Rollout("c", "Shifting") if "c" in wanted else None)
    meant = replace(found.plan, record=record, table=TableIntent(wanted, "salt", "why"))
    stored = TableState(7, before) if before is not None else None
    intent = entrusting_nobody(replace(found, plan=meant, observed=replace(found.observed, table=stored))).plan.table
    assert (dict(intent.weights) if intent is not None else None) == left
