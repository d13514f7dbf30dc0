from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from doubles.manifests import OWNER, VLLM, built, container_of, examples, intent, revision_of, spec_of, vllm, wanted_of
from rag_operator import names
from rag_operator.desired import images
from rag_operator.desired.children import Wanted, children
from rag_operator.desired.context import Owner, Surroundings
from rag_operator.model.plan import EvaluationIntent, Keep

GOLDEN = Path(__file__).parent / "golden" / "smallest.yaml"
GENERATOR = yaml.safe_load(VLLM)
FIRST_KINDS = ["ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"]


def autoscaled(**more: Any) -> dict[str, Any]:
    return {"local": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6, "targetQueueLength": 64, **more}}}


@pytest.mark.parametrize(("file", "name", "spec"), examples(), ids=[found[0] for found in examples()])
def test_every_child_of_every_example_is_labelled_and_owned_by_the_pipeline(file: str, name: str, spec: Any) -> None:
    owner = Owner(name, "search", "uid-1")
    found = children(owner, wanted_of(revision_of(spec, pipeline=name)), Surroundings(pod_monitors=True))
    assert len(found) > 15
    for manifest in found:
        place = manifest["metadata"]
        assert place["namespace"] == "search"
        assert place["labels"][names.LABEL_PIPELINE] == name
        assert place["labels"][names.LABEL_MANAGED_BY] == "rag-operator"
        outlives = (
            manifest["kind"] in ("PersistentVolumeClaim", "Milvus") and spec.deletion_policy == "Retain" and "cache" not in place["name"]
        )
        owners = [(one["kind"], one["uid"], one["controller"]) for one in place.get("ownerReferences", [])]
        assert owners == ([] if outlives else [("RAGPipeline", "uid-1", True)]), f"{file}: {manifest['kind']} {place['name']}"
        assert len(place["name"]) <= 63


def test_no_two_children_have_the_same_kind_and_name() -> None:
    for _, name, spec in examples():
        found = children(Owner(name, "search", "u"), wanted_of(revision_of(spec, pipeline=name)), Surroundings(pod_monitors=True))
        places = [(one["kind"], one["metadata"]["name"]) for one in found]
        assert len(set(places)) == len(places)


def test_the_order_in_which_revisions_were_found_changes_nothing() -> None:
    stable, candidate = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}))
    wanted = wanted_of(stable, candidate)
    shuffled = replace(wanted, revisions=dict(reversed(list(wanted.revisions.items()))))
    assert children(OWNER, wanted, Surroundings()) == children(OWNER, shuffled, Surroundings())


def test_rights_and_policies_come_before_workloads_and_jobs_come_last() -> None:
    kinds = [one["kind"] for one in children(OWNER, wanted_of(revision_of(), mode="Build"), Surroundings())]
    assert kinds[:4] == FIRST_KINDS
    assert kinds.index("PersistentVolumeClaim") < kinds.index("StatefulSet") < kinds.index("Deployment") < kinds.index("RAGIndex")
    assert kinds[-1] == "Job"


def test_a_component_that_two_revisions_share_is_built_once() -> None:
    stable, candidate = revision_of(spec_of()), revision_of(spec_of(retrieval={"topK": 3}))
    assert stable.embedder.same_as(candidate.embedder)
    found = built(wanted_of(stable, candidate))
    assert [name for kind, name in found if kind == "Deployment"].count(stable.embedder.name) == 1
    assert [name for kind, name in found if kind == "RAGIndex"] == [stable.index.name]


def test_a_candidate_with_another_model_stands_beside_stable() -> None:
    stable, candidate = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}))
    found = built(wanted_of(stable, candidate))
    for revision in (stable, candidate):
        assert ("Deployment", revision.embedder.name) in found
        assert ("Service", revision.embedder.name) in found
        assert ("RAGIndex", revision.index.name) in found


def test_stable_is_built_from_its_record_although_the_spec_says_something_else() -> None:
    stable = revision_of(spec_of(generator=vllm(maxModelLen=512)))
    newest = revision_of(spec_of(generator=vllm(maxModelLen=1024)))
    assert stable.generator is not None
    only_stable = replace(wanted_of(stable), newest=newest)
    found = built(only_stable)
    assert "--max-model-len=512" in container_of(found["Deployment", stable.generator.name])["args"]
    assert newest.generator is not None
    assert ("Deployment", newest.generator.name) not in found


def test_in_place_settings_of_a_shared_component_are_the_newest_ones() -> None:
    stable = revision_of(spec_of())
    newest = revision_of(spec_of(embedder={"local": {"replicas": 3}}, retrieval={"topK": 3}))
    found = built(wanted_of(stable, newest))
    assert found["Deployment", stable.embedder.name]["spec"]["replicas"] == 3


def test_an_operator_with_other_default_images_changes_no_manifest() -> None:
    stable = revision_of()
    upgraded = {kind: f"elsewhere/{kind}:9.9-{{version}}" for kind in images.KINDS}
    again = revision_of(images=images.chosen(upgraded, stable.spec, before=stable))
    assert children(OWNER, wanted_of(again), Surroundings()) == children(OWNER, wanted_of(stable), Surroundings())


def test_another_runtime_version_changes_images_in_place() -> None:
    stable = revision_of()
    spec = spec_of(runtime={"version": "0.2"})
    newest = revision_of(spec, images=images.chosen({**stable.images, "gateway": "ragops.dev/gateway:{version}"}, spec, before=stable))
    assert newest.name == stable.name
    found = built(replace(wanted_of(stable), newest=newest))
    assert container_of(found["Deployment", "handbook-gateway"])["image"] == "ragops.dev/gateway:0.2"


def test_replicas_are_in_no_manifest_where_an_autoscaler_owns_them() -> None:
    revision = revision_of(spec_of(embedder=autoscaled()))
    found = built(wanted_of(revision))
    assert "replicas" not in found["Deployment", revision.embedder.name]["spec"]
    assert found["HorizontalPodAutoscaler", revision.embedder.name]["spec"]["minReplicas"] == 2


def test_a_fixed_number_of_replicas_is_said_and_has_no_autoscaler() -> None:
    revision = revision_of(spec_of(embedder={"local": {"replicas": 4}}))
    found = built(wanted_of(revision))
    assert found["Deployment", revision.embedder.name]["spec"]["replicas"] == 4
    assert ("HorizontalPodAutoscaler", revision.embedder.name) not in found


def test_an_idle_revision_sleeps_without_an_autoscaler() -> None:
    stable = revision_of()
    aborted = revision_of(spec_of(embedder=autoscaled() | {"local": {**autoscaled()["local"], "dimensions": 32}}, generator=GENERATOR))
    keep = [Keep(stable.name, "stable"), Keep(aborted.name, "leaving", idle=True)]
    found = built(wanted_of(stable, aborted, keep=keep))
    assert aborted.generator is not None
    for name in (aborted.embedder.name, aborted.generator.name):
        assert found["Deployment", name]["spec"]["replicas"] == 0
        assert ("HorizontalPodAutoscaler", name) not in found
    assert found["Deployment", stable.embedder.name]["spec"]["replicas"] == 1


def test_a_component_stays_awake_while_one_of_its_revisions_is() -> None:
    stable, aborted = revision_of(), revision_of(spec_of(retrieval={"topK": 3}))
    keep = [Keep(stable.name, "stable"), Keep(aborted.name, "leaving", idle=True)]
    found = built(wanted_of(stable, aborted, keep=keep))
    assert found["Deployment", stable.embedder.name]["spec"]["replicas"] == 1


@pytest.mark.parametrize(("floor", "minimum"), [(0, 2), (1, 2), (5, 5), (50, 6)])
def test_a_floor_raises_the_least_replicas_up_to_the_most(floor: int, minimum: int) -> None:
    revision = revision_of(spec_of(embedder=autoscaled()))
    keep = [Keep(revision.name, "stable", {revision.embedder.name: floor})]
    found = built(wanted_of(revision, keep=keep))
    assert found["HorizontalPodAutoscaler", revision.embedder.name]["spec"]["minReplicas"] == minimum


def test_the_highest_floor_of_those_that_share_a_component_counts() -> None:
    stable = revision_of(spec_of(embedder=autoscaled()))
    candidate = revision_of(spec_of(embedder=autoscaled(), retrieval={"topK": 3}))
    name = stable.embedder.name
    keep = [Keep(stable.name, "stable", {name: 3}), Keep(candidate.name, "candidate", {name: 4})]
    assert built(wanted_of(stable, candidate, keep=keep))["HorizontalPodAutoscaler", name]["spec"]["minReplicas"] == 4


def lane_of(wanted: Wanted, name: str) -> str:
    metric = built(wanted)["HorizontalPodAutoscaler", name]["spec"]["metrics"][0]["external"]["metric"]
    return str(metric["selector"]["matchLabels"]["lane"])


def test_an_embedder_that_only_builds_follows_the_bulk_lane_and_one_with_weight_the_query_lane() -> None:
    stable = revision_of(spec_of(embedder=autoscaled()))
    candidate = revision_of(spec_of(embedder={"local": {**autoscaled()["local"], "dimensions": 32}}))
    before = wanted_of(stable, candidate, weights={stable.name: 100, candidate.name: 0})
    shifted = replace(before, weights={stable.name: 95, candidate.name: 5})
    assert lane_of(before, stable.embedder.name) == "query"
    assert lane_of(before, candidate.embedder.name) == "bulk"
    assert lane_of(shifted, candidate.embedder.name) == "query"


def test_an_index_that_is_being_collected_is_still_dropped_by_a_job() -> None:
    stable, gone = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}))
    wanted = replace(
        wanted_of(stable),
        revisions={stable.name: stable, gone.name: gone},
        indexes={stable.index.name: intent(stable), gone.index.name: intent(gone, "Drop", 2, collecting=True)},
    )
    found = built(wanted)
    assert found["RAGIndex", gone.index.name]["spec"]["collecting"] is True
    assert found["RAGIndex", gone.index.name]["spec"]["collection"] == gone.collection
    assert ("Job", f"{gone.index.name}-drop-2") in found
    assert ("Deployment", gone.embedder.name) not in found


def test_an_evaluation_is_a_job_only_while_the_plan_wants_it() -> None:
    rollout = {"evaluation": {"questionSet": {"configMapRef": {"name": "questions", "key": "q.jsonl"}}}}
    stable, candidate = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}, rollout=rollout))
    plain = wanted_of(stable, candidate)
    asked = replace(plain, evaluation=EvaluationIntent(stable.name, candidate.name, 1))
    new = set(built(asked)) - set(built(plain))
    assert [kind for kind, _ in new] == ["Job"]


def test_monitors_exist_only_where_their_kind_does() -> None:
    wanted = wanted_of(revision_of())
    assert ("PodMonitor", "handbook") not in built(wanted)
    assert ("PodMonitor", "handbook") in built(wanted, Surroundings(pod_monitors=True))


def test_the_manifests_of_the_smallest_pipeline_change_only_on_purpose() -> None:
    """After a change that is meant: write `built` into the golden file and review the difference. It may restart users' pods."""
    found = children(OWNER, wanted_of(revision_of(), mode="Build"), Surroundings(cluster="c-1", api_server_cidrs=("10.0.0.1/32",)))
    if not GOLDEN.exists():
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(yaml.safe_dump_all(found, sort_keys=True, width=140))
        pytest.fail(f"{GOLDEN} was missing and is written now: review it")
    assert list(yaml.safe_load_all(GOLDEN.read_text())) == found


def test_a_candidate_that_needs_no_other_credentials_restarts_neither_gateway_nor_syncer() -> None:
    stable, candidate = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}))
    alone, both = built(wanted_of(stable)), built(wanted_of(stable, candidate))
    for name in ("handbook-gateway", "handbook-indexer"):
        assert alone["Deployment", name] == both["Deployment", name]
    assert alone["StatefulSet", "handbook-milvus"] == both["StatefulSet", "handbook-milvus"]
