"""A table names no Secret that a gateway does not have as files, and nothing that is mounted waits for one that is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from doubles.manifests import OWNER, TEMPLATES, revision_of, spec_of
from doubles.seen import seen_of
from rag_operator import names
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.controller.analysis import Baselines
from rag_operator.controller.decide import Decided, Given, build, decide, judge, table
from rag_operator.controller.observe import Seen
from rag_operator.controller.parts import parts
from rag_operator.controller.report import lacking_of
from rag_operator.desired import revision_record, routing
from rag_operator.desired.context import Manifest, Surroundings
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, DEPLOYMENTS, INDEXES, PODS, Resource
from rag_operator.model.plan import Leaving, Record, Retired, Rollout, TableIntent
from rag_operator.model.revision import Revision
from rag_operator.rollout.bluegreen import steps_of
from rag_operator.rollout.gates import policy_digest
from rag_runtime.contracts.routing import RoutingTable

NOW = 1_800_000_000.0
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def asking(secret: str | None, model: str = "m", **store: Any) -> RAGPipelineSpec:
    """A pipeline whose generator is asked with the key in a Secret."""
    ref = {"credentialsSecretRef": {"name": secret}} if secret else {}
    generator = {"external": {"url": "https://llm.example.com/v1", "model": model, "maxModelLen": 1000, **ref}}
    milvus = {"standalone": None, "external": {"address": "milvus.example.com:19530", **store}} if store else {}
    return spec_of(generator={**generator, "sampling": {"maxTokens": 10}}, vectorStore={"milvus": milvus})


def stored(resource: Resource, manifest: Mapping[str, Any], status: Mapping[str, Any] | None = None) -> Child:
    meta = {**manifest["metadata"], "uid": manifest["metadata"]["name"], "resourceVersion": "1"}
    return reduce(resource, {**manifest, "metadata": meta, "status": status or {}})


def pod(name: str, template: Manifest, status: Mapping[str, Any] = READY, **meta: Any) -> Child:
    labels = template["metadata"]["labels"]
    return stored(
        PODS, {"metadata": {"name": name, "namespace": OWNER.namespace, "labels": labels, **meta}, "spec": template["spec"]}, status
    )


def answering(spec: RAGPipelineSpec, *weights: tuple[Revision, int], record: Record | None = None, epoch: int = 4) -> Seen:
    """A pipeline that answers by these revisions, all of whose parts are ready, and whose spec is this one now."""
    listed = [routing.Answering(revision, weight) for revision, weight in weights]
    made = routing.routing_table(OWNER, listed, epoch=epoch, salt="")
    time = "2026-01-01T00:00:00Z"
    built = {"documents": 1, "chunks": 1, "startTime": time, "completionTime": time}
    sync = {"listing": {"id": "1", "startTime": time}, "documents": 1, "chunks": 1}
    status = {"build": built, "sync": sync, "observed": {"probes": "Equal", "loaded": True, "pendingRows": 0}}
    first = weights[0][0]
    label = {names.LABEL_KIND: names.KIND_EMBEDDER, names.LABEL_COMPONENT: first.embedder.name}
    embedder = {"metadata": {"name": first.embedder.name, "namespace": OWNER.namespace, "labels": label}, "spec": {"replicas": 1}}
    index = {"metadata": {"name": first.index.name, "namespace": OWNER.namespace}, "spec": {"collecting": False}}
    children = [
        stored(CONFIG_MAPS, routing.config_map(OWNER, made)),
        stored(DEPLOYMENTS, embedder, {"readyReplicas": 1}),
        stored(INDEXES, index, status),
        *(stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, one, number)) for number, (one, _) in enumerate(weights, 1)),
    ]
    return seen_of(spec, children, record=record or Record(stable=first.name))


def beside(look: Seen, *more: Child) -> Seen:
    return replace(look, children={**look.children, **{(child.kind, child.name): child for child in more}})


def decided(look: Seen) -> Decided:
    found = decide(look, judge(look), Given(TEMPLATES, Baselines(lambda: NOW), "aaaaaaaa", NOW))
    assert found is not None
    return found


def deployment(look: Seen, name: str) -> Manifest:
    """A Deployment as this pass applies it."""
    manifests = build(look, decided(look), Surroundings(cluster="c-1"), NOW)
    return next(one for one in manifests if one["kind"] == "Deployment" and one["metadata"]["name"] == name)


def gateway(look: Seen) -> Manifest:
    return deployment(look, names.gateway(OWNER.name))


def secrets(manifest: Manifest) -> dict[str, bool]:
    """What its pods mount, and whether they start without it."""
    volumes = [volume for volume in manifest["spec"]["template"]["spec"]["volumes"] if "projected" in volume]
    found = [source["secret"] for volume in volumes for source in volume["projected"]["sources"]]
    return {secret["name"]: secret.get("optional", False) for secret in found}


def running(look: Seen, manifest: Manifest, *pods: Child) -> Seen:
    return beside(look, stored(DEPLOYMENTS, manifest, {"readyReplicas": 1}), *pods)


def key_of(found: RoutingTable | None, place: int = 0) -> str | None:
    assert found is not None
    generator = found.routes[place].generator
    assert generator is not None
    return generator.credentials


A = revision_of(asking("a"))
BEFORE = gateway(answering(asking("a"), (A, 100)))
OLD = pod("old", BEFORE["spec"]["template"])


def test_another_secret_is_named_when_every_gateway_has_it_and_the_one_before_stays_until_then() -> None:
    renamed = running(answering(asking("b"), (A, 100)), BEFORE, OLD)
    between = gateway(renamed)
    assert secrets(between) == {"a": True, "b": False}
    assert table(renamed, decided(renamed)) is None

    template = between["spec"]["template"]
    half = running(renamed, between, pod("new", template, {"phase": "Pending"}))
    assert table(half, decided(half)) is None

    whole = running(renamed, between, pod("old", template))
    found = table(whole, decided(whole))
    assert found is not None
    assert key_of(found) == "b"
    assert secrets(gateway(whole)) == {"a": True, "b": False}
    after = beside(whole, stored(CONFIG_MAPS, routing.config_map(OWNER, found)))
    assert secrets(gateway(after)) == {"b": False}


def test_a_gateway_that_ends_and_takes_no_requests_is_not_waited_for() -> None:
    look = running(answering(asking("b"), (A, 100)), BEFORE)
    new = pod("new", gateway(look)["spec"]["template"])
    ending = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    drains = beside(look, new, pod("old", BEFORE["spec"]["template"], **ending))
    assert table(drains, decided(drains)) is None
    gone = beside(look, new, pod("old", BEFORE["spec"]["template"], {"phase": "Running"}, **ending))
    assert key_of(table(gone, decided(gone))) == "b"


def test_an_authority_beside_the_same_login_is_waited_for_too() -> None:
    plain, safe = asking(None, credentialsSecretRef={"name": "login"}), {"caSecretRef": {"name": "ca", "key": "root.pem"}}
    revision = revision_of(plain)
    before = gateway(answering(plain, (revision, 100)))
    changed = asking(None, credentialsSecretRef={"name": "login"}, tls=safe)
    look = running(answering(changed, (revision, 100)), before, pod("old", before["spec"]["template"]))
    assert table(look, decided(look)) is None
    done = beside(look, pod("old", gateway(look)["spec"]["template"]))
    found = table(done, decided(done))
    assert found is not None
    assert found.routes[0].index.tls


def test_weights_move_between_routes_that_are_mounted_while_a_secret_is_missing() -> None:
    other = revision_of(asking("a", "better"))
    position = Record(stable=A.name, retired=Retired(other.name, NOW + 60))
    look = running(answering(asking("b"), (A, 0), (other, 100), record=position), BEFORE, OLD)
    found = decided(look)
    back = replace(found, plan=replace(found.plan, table=TableIntent({A.name: 100, other.name: 0}, "", "back")))
    made = table(look, back)
    assert made is not None
    assert {route.revision: route.weight for route in made.routes} == {A.name: 100, other.name: 0}
    assert {key_of(made, place) for place in (0, 1)} == {"a"}


def test_a_candidate_that_needs_another_secret_is_listed_when_every_gateway_has_it() -> None:
    spec = asking("c", "better")
    candidate = revision_of(spec)
    steps, policy = len(steps_of(spec.rollout)), policy_digest(spec.rollout.evaluation)
    rollout = Rollout(candidate.name, "Shifting", steps=steps, weight=100, progress_since=NOW, evaluation_policy=policy)
    position = Record(stable=A.name, rollout=rollout)
    look = answering(spec, (A, 100), record=position)
    look = running(beside(look, stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, candidate, 2))), BEFORE, OLD)
    waiting = decided(look)
    assert waiting.plan.table is None
    assert waiting.plan.record.rollout is not None
    assert waiting.plan.record.rollout.held == "not every gateway has Secret c mounted yet"
    assert secrets(gateway(look)) == {"a": False, "c": False}
    mounted = running(look, gateway(look), pod("old", gateway(look)["spec"]["template"]))
    ready = decided(mounted).plan.table
    assert ready is not None
    assert ready.weights == {A.name: 0, candidate.name: 100}


def aborted(*weights: tuple[Revision, int]) -> Seen:
    """The candidate of `asking("gone", "better")` was aborted, and the spec still asks for it."""
    spec = asking("gone", "better")
    candidate = revision_of(spec)
    position = Record(stable=A.name, rejected=(candidate.name,), leaving=(Leaving(candidate.name, NOW + 60, "aborted"),))
    look = answering(spec, *weights, record=position)
    return beside(look, stored(CONTROLLER_REVISIONS, revision_record.manifest(OWNER, candidate, 2)))


def test_an_aborted_candidate_leaves_the_gateway_with_the_table_that_names_it() -> None:
    candidate = revision_of(asking("gone", "better"))
    look = running(aborted((A, 95), (candidate, 5)), BEFORE, OLD)
    assert secrets(gateway(look)) == {"a": False, "gone": False}, "the stored table names it, and the new one is written afterwards"
    found = table(look, decided(look))
    assert found is not None
    assert [route.revision for route in found.routes] == [A.name]
    after = beside(look, stored(CONFIG_MAPS, routing.config_map(OWNER, found)))
    assert candidate.name in {keep.revision for keep in decided(after).plan.keep}
    assert secrets(gateway(after)) == {"a": False}


def test_an_aborted_candidate_whose_secret_never_was_there_is_waited_for_by_nobody() -> None:
    look = running(aborted((A, 100)), BEFORE, OLD)
    assert secrets(gateway(look)) == {"a": False}
    assert lacking_of(look, decided(look)) == ()
    candidate = revision_of(asking("gone", "better"))
    again = running(replace(look, record=Record(stable=A.name, rollout=Rollout(candidate.name, "Provisioning"))), BEFORE, OLD)
    assert secrets(gateway(again)) == {"a": False, "gone": False}, "retry makes it a candidate again"
    assert lacking_of(again, decided(again)) == ("gone",)


STORED_WITH = {"credentialsSecretRef": {"name": "milvus-1"}}
STABLE, OTHER = revision_of(asking(None, "one", **STORED_WITH)), revision_of(asking(None, "two", **STORED_WITH))
POLICY = asking(None).rollout
ROLLING = Rollout(
    OTHER.name, "Shifting", steps=len(steps_of(POLICY)), progress_since=NOW, evaluation_policy=policy_digest(POLICY.evaluation)
)
POSITIONS = {
    "the other one is rejected and still wanted": (Record(stable=STABLE.name, rejected=(OTHER.name,)), ((STABLE, 100),)),
    "the other one is rolled out": (Record(stable=STABLE.name, rollout=ROLLING), ((STABLE, 100), (OTHER, 0))),
    "the one before is kept for rollback": (
        Record(stable=OTHER.name, retired=Retired(STABLE.name, NOW + 86400)),
        ((STABLE, 0), (OTHER, 100)),
    ),
}


@pytest.mark.parametrize(("position", "weights"), POSITIONS.values(), ids=POSITIONS)
def test_another_login_of_the_store_is_every_revision_s(position: Record, weights: tuple[tuple[Revision, int], ...]) -> None:
    before = gateway(answering(asking(None, "two", **STORED_WITH), *weights, record=position))
    assert secrets(before) == {"milvus-1": False}
    rotated = asking(None, "two", credentialsSecretRef={"name": "milvus-2"})
    look = running(answering(rotated, *weights, record=position), before, pod("old", before["spec"]["template"]))
    between = gateway(look)
    assert secrets(between) == {"milvus-1": True, "milvus-2": False}
    assert table(look, decided(look)) is None, "not every gateway has the new one"

    whole = running(look, between, pod("old", between["spec"]["template"]))
    found = table(whole, decided(whole))
    assert found is not None
    assert {route.revision: (route.weight, route.index.credentials) for route in found.routes} == {
        revision.name: (weight, "milvus-2") for revision, weight in weights
    }
    after = beside(whole, stored(CONFIG_MAPS, routing.config_map(OWNER, found)))
    assert secrets(gateway(after)) == {"milvus-2": False}


@pytest.mark.parametrize(("position", "weights"), POSITIONS.values(), ids=POSITIONS)
def test_indexers_have_the_login_that_their_indexes_name(position: Record, weights: tuple[tuple[Revision, int], ...]) -> None:
    look = answering(asking(None, "two", credentialsSecretRef={"name": "milvus-2"}), *weights, record=position)
    assert secrets(deployment(look, names.indexer(OWNER.name))) == {"milvus-2": False}


def test_the_first_table_waits_for_nobody_because_no_gateway_is_ready_without_one() -> None:
    look = running(answering(asking("b"), (A, 100)), BEFORE, OLD)
    lost = replace(look, children={key: child for key, child in look.children.items() if key[0] != CONFIG_MAPS.kind})
    assert key_of(table(lost, decided(lost))) == "b"


def test_the_gateway_says_which_secret_is_waited_for() -> None:
    look = running(answering(asking("b"), (A, 100)), BEFORE, OLD)
    found = parts(OWNER.name, asking("b"), look.children, (), ("b",))["Gateway"]
    assert (found.ready, found.reason) == (True, "SecretNotMounted")
    assert found.message == "answers go on as before: not every gateway has Secret b mounted yet"
