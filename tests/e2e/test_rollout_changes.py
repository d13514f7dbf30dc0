"""What a change does not do: a new layout embeds nothing, other passages start no pod, a renamed Secret costs no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.full import Cluster
from demo.pipeline import STATIC
from demo.traffic import QUERY, Traffic
from e2e import keyed_generator
from e2e.namespaces import is_ready
from e2e.rollouts import NAME, Library, fresh_namespace, library, of_fixed_size, pipeline
from rag_indexer.probes import TEXTS as PROBES
from rag_operator import names
from rag_operator.desired import credentials
from rag_runtime.contracts.routing import TABLE_KEY, RoutingTable

pytestmark = pytest.mark.timeout(1800)
QUICK = {"canary": {"steps": [{"setWeight": 50}]}, "evaluation": None}
BY_HAND = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}, "evaluation": None}
OWN = f"{names.LABEL_PIPELINE}={NAME}"
OLD, NEW = "llm-old", "llm-new"  # Secrets, each with a key of its own


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[Library]:
    """A pipeline whose first revision serves; each test changes it further."""
    with fresh_namespace(cluster) as found, library(found) as handbook:
        handbook.namespace.apply(of_fixed_size(pipeline(handbook, STATIC, QUICK)))
        handbook.until_answering()
        yield handbook


def changed(handbook: Library, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Apply a changed spec, wait for its promotion, and return the decision."""
    count = len(handbook.decisions()) + 1
    document = of_fixed_size(pipeline(handbook, STATIC, QUICK))
    change(document["spec"])
    handbook.namespace.apply(document)
    return handbook.until_decided("Promoted", count)


def four_shards(spec: dict[str, Any]) -> None:
    spec["retrieval"]["topK"] = 5
    spec["vectorStore"]["milvus"]["shards"] = 4


@dataclass(frozen=True)
class Made:
    """What there is of a pipeline: UIDs by kind, and how many texts of documents each embedder pod has computed."""

    objects: dict[str, frozenset[str]]
    embedded: dict[str, float]

    def embeds_nothing_since(self, before: Made) -> bool:
        """Whether the same embedders computed no document in between, but perhaps the texts by which an embedder is recognised.

        The syncer asks for those of every index that it follows, and now and then again: how often depends on how long all takes here.
        """
        if self.embedded.keys() != before.embedded.keys():
            return False
        computed = [texts - before.embedded[uid] for uid, texts in self.embedded.items()]
        return all(texts % len(PROBES) == 0 and texts <= 8 * len(PROBES) for texts in computed)

    def adds_nothing_to(self, before: Made) -> bool:
        """Whether no pod was started, no Job and no index made, and no document embedded in between."""
        return self.embeds_nothing_since(before) and all(uids <= before.objects[kind] for kind, uids in self.objects.items())


def made(handbook: Library) -> Made:
    listed = handbook.namespace.listed("pods,jobs,ragindexes", OWN)
    uids = {kind: frozenset(one["metadata"]["uid"] for one in listed if one["kind"] == kind) for kind in ("Pod", "Job", "RAGIndex")}
    embedders = [
        one["metadata"] for one in listed if one["kind"] == "Pod" and one["metadata"]["labels"][names.LABEL_KIND] == names.KIND_EMBEDDER
    ]
    return Made(uids, {pod["uid"]: embedded(handbook, pod["name"]) for pod in embedders})


def embedded(handbook: Library, pod: str) -> float:
    """The counter of an embedder pod for texts of documents."""
    page = handbook.namespace.kubectl("get", "--raw", f"/api/v1/namespaces/{handbook.namespace.name}/pods/{pod}:9090/proxy/metrics")
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return sum(one.value for one in samples if one.name == "rag_embedder_texts_total" and one.labels["lane"] == "bulk")


def test_other_passages_start_no_pod_and_embed_nothing(served: Library) -> None:
    before = made(served)
    assert sum(before.embedded.values()) > 0, "the counter counts"
    changed(served, lambda spec: spec["retrieval"].update(topK=5))
    assert made(served).adds_nothing_to(before)


def test_another_number_of_shards_embeds_nothing(served: Library) -> None:
    before, index = made(served), served.index("stable")["status"]
    changed(served, four_shards)
    after = served.index("stable")["status"]
    assert made(served).embeds_nothing_since(before)
    assert (after["build"]["embedded"], after["observed"]["shards"]) == (0, 4)
    assert after["sync"]["documents"] == index["sync"]["documents"]


@dataclass(frozen=True)
class Look:
    """One look at the gateways: the Secrets that they answer by, and what each pod has mounted."""

    named: frozenset[str]  # by the routing table, both before and after the pods were listed
    ready: tuple[frozenset[str], ...]
    others: tuple[frozenset[str], ...]  # that start or end


def secret(name: str, key: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"apiKey": key}}


def generate(handbook: Library, policy: dict[str, Any], by: str, top_k: int, *, model: str = "any", system: str = "") -> None:
    """Have answers written by the generator, asked for this model with the key in this Secret."""
    document = of_fixed_size(pipeline(handbook, STATIC, policy))
    spec = document["spec"]
    four_shards(spec)  # as the test before left it: no index is built
    spec["retrieval"]["topK"] = top_k
    external = {"url": keyed_generator.url(handbook.namespace), "model": model, "credentialsSecretRef": {"name": by}}
    spec["generator"] = {"external": external, "sampling": {"maxTokens": 64}, "prompt": {"system": system}}
    handbook.namespace.apply(document)


def named(handbook: Library) -> frozenset[str]:
    stored = handbook.namespace.get("configmap", names.routing_table(NAME))["data"][TABLE_KEY]
    generators = [route.generator for route in RoutingTable.from_json(stored).routes]
    return frozenset(one.credentials for one in generators if one is not None and one.credentials is not None)


def look(handbook: Library) -> Look:
    before = named(handbook)
    found: dict[bool, list[frozenset[str]]] = {True: [], False: []}
    for one in handbook.namespace.listed("pods", f"{OWN},{names.LABEL_KIND}={names.KIND_GATEWAY}"):
        found[is_ready(one)].append(frozenset(part.secret for part in credentials.mounted(one["spec"])))
    return Look(before & named(handbook), tuple(found[True]), tuple(found[False]))


def templates(handbook: Library) -> set[frozenset[str]]:
    """What the gateway's present and former ReplicaSets mount."""
    sets = handbook.namespace.listed("replicasets", f"{OWN},{names.LABEL_KIND}={names.KIND_GATEWAY}")
    return {frozenset(part.secret for part in credentials.mounted(one["spec"]["template"]["spec"])) for one in sets}


def replaced(handbook: Library, looks: list[Look]) -> bool:
    """Whether nothing names or mounts any Secret but the new one; every look on the way is kept."""
    looks.append(look(handbook))
    last = looks[-1]
    return bool(last.ready) and {last.named, *last.ready, *last.others} == {frozenset({NEW})}


def rename(handbook: Library, traffic: Traffic, count: int, looks: list[Look]) -> None:
    generate(handbook, BY_HAND, OLD, 6)
    handbook.until("both revisions to answer", handbook.waits)
    generate(handbook, BY_HAND, NEW, 6)
    handbook.until(f"{NEW} instead of {OLD}", lambda: replaced(handbook, looks), 300)
    # Nobody needs the old key any more: it is revoked while both revisions still answer.
    keyed_generator.forget(handbook.namespace, "old")
    handbook.namespace.kubectl("delete", "secret", OLD)
    assert ": Done" in handbook.rag("promote", NAME)
    handbook.until_decided("Promoted", count)
    handbook.until_answered_by_stable(traffic)


def test_a_secret_that_is_renamed_during_a_rollout_costs_no_answer(served: Library) -> None:
    namespace, count = served.namespace, len(served.decisions())
    looks: list[Look] = []
    with served.telling():
        namespace.apply(secret(OLD, "old"), secret(NEW, "new"), *keyed_generator.manifests("old", "new"))
        namespace.wait(f"pod/{keyed_generator.NAME}", "condition=Ready")
        generate(served, QUICK, OLD, 5)
        served.until_decided("Promoted", count + 1)
        before = served.role("stable")
        seen = served.under_load(lambda traffic: rename(served, traffic, count + 2, looks), path=QUERY).summary()
    assert (seen.failed, seen.mixed) == (0, 0), seen
    assert seen.witnessed > 0
    assert set(seen.by_revision) == {before, served.role("stable")}
    assert all(one.named <= mounted for one in looks for mounted in one.ready), looks
    # A gateway had the new one beside the old on the way: what ReplicaSets tell, however long a look took.
    assert frozenset({OLD, NEW}) in templates(served), looks


@pytest.mark.parametrize("change", [{"model": "another"}, {"model": "another", "system": "Answer in one sentence."}], ids=["llm", "prompt"])
def test_another_llm_or_prompt_starts_no_pod_and_embeds_nothing(served: Library, change: dict[str, str]) -> None:
    before, was = made(served), served.role("stable")
    generate(served, QUICK, NEW, 6, **change)
    served.until("the change to be promoted", lambda: served.role("stable") != was and served.status()["phase"] == "Ready")
    assert made(served).adds_nothing_to(before)
