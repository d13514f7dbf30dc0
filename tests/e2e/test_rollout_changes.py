"""What a change does not do: a new layout embeds nothing, other passages start no pod, a renamed Secret costs no answer.

And a rollout survives what is killed under it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cluster.full import Cluster
from demo.pipeline import MINILM, STATIC
from demo.traffic import QUERY, Traffic
from e2e import keyed_generator
from e2e.namespaces import Namespace
from e2e.rollouts import NAME, Library, fresh_namespace, library, pipeline
from rag_operator import names
from rag_operator.desired import credentials
from rag_runtime.contracts.routing import TABLE_KEY, RoutingTable

QUICK = {"canary": {"steps": [{"setWeight": 50}]}, "evaluation": None}
BY_HAND = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}, "evaluation": None}
OLD, NEW = "llm-old", "llm-new"  # Secrets, each with a key of its own
KILLED = ("rag-operator", "gateway", "embedder", "indexer", "milvus")


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[Library]:
    """A pipeline whose first revision serves; each test changes it further."""
    with fresh_namespace(cluster) as found, library(found) as handbook:
        handbook.apply(STATIC, **QUICK)
        handbook.until_answering()
        yield handbook


def changed(handbook: Library, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Apply a changed spec, wait for its promotion, and return the decision."""
    count = len(handbook.decisions()) + 1
    document = pipeline(handbook, STATIC, QUICK)
    change(document["spec"])
    handbook.namespace.apply(document)
    return handbook.until_decided("Promoted", count)


def four_shards(spec: dict[str, Any]) -> None:
    spec["retrieval"]["topK"] = 5
    spec["vectorStore"]["milvus"]["shards"] = 4


def pods(handbook: Library, kind: str) -> set[str]:
    found = handbook.namespace.kubectl("get", "pods", "-l", f"ragops.dev/kind={kind}", "-o", "jsonpath={.items[*].metadata.uid}")
    return set(found.split())


def index_status(handbook: Library) -> dict[str, Any]:
    found: dict[str, Any] = handbook.namespace.get("ragindex", handbook.status()["stable"]["index"])["status"]
    return found


def test_other_passages_start_no_pod_and_build_no_index(served: Library) -> None:
    before = (pods(served, "embedder"), pods(served, "gateway"), served.status()["stable"]["index"])
    changed(served, lambda spec: spec["retrieval"].update(topK=5))
    assert (pods(served, "embedder"), pods(served, "gateway"), served.status()["stable"]["index"]) == before


def test_another_number_of_shards_embeds_nothing(served: Library) -> None:
    before = (pods(served, "embedder"), index_status(served))
    changed(served, four_shards)
    after = index_status(served)
    assert pods(served, "embedder") == before[0]
    assert (after["build"]["embedded"], after["observed"]["shards"]) == (0, 4)
    assert after["sync"]["documents"] == before[1]["sync"]["documents"]


@dataclass(frozen=True)
class Look:
    """One look at the gateways: the Secrets that they answer by, and what each pod has mounted."""

    named: frozenset[str]  # by the routing table, both before and after the pods were listed
    ready: tuple[frozenset[str], ...]
    others: tuple[frozenset[str], ...]  # that start or end


def secret(name: str, key: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"apiKey": key}}


def generate(handbook: Library, policy: dict[str, Any], by: str, top_k: int) -> None:
    """Have answers written by the generator, asked with the key in this Secret."""
    document = pipeline(handbook, STATIC, policy)
    spec = document["spec"]
    four_shards(spec)  # as the test before left it: no index is built
    spec["retrieval"]["topK"] = top_k
    external = {"url": keyed_generator.url(handbook.namespace), "model": "any", "credentialsSecretRef": {"name": by}}
    spec["generator"] = {"external": external, "sampling": {"maxTokens": 64}}
    handbook.namespace.apply(document)


def named(handbook: Library) -> frozenset[str]:
    stored = handbook.namespace.get("configmap", names.routing_table(NAME))["data"][TABLE_KEY]
    generators = [route.generator for route in RoutingTable.from_json(stored).routes]
    return frozenset(one.credentials for one in generators if one is not None and one.credentials is not None)


def look(handbook: Library) -> Look:
    before = named(handbook)
    label = f"ragops.dev/kind=gateway,ragops.dev/pipeline={NAME}"
    listed = json.loads(handbook.namespace.kubectl("get", "pods", "-l", label, "-o", "json"))["items"]
    found: dict[bool, list[frozenset[str]]] = {True: [], False: []}
    for one in listed:
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in one["status"].get("conditions", ()))
        found[ready].append(frozenset(part.secret for part in credentials.mounted(one["spec"])))
    return Look(before & named(handbook), tuple(found[True]), tuple(found[False]))


def replaced(handbook: Library, looks: list[Look]) -> bool:
    """Whether nothing names or mounts any Secret but the new one; every look on the way is kept."""
    looks.append(look(handbook))
    last = looks[-1]
    return bool(last.ready) and {last.named, *last.ready, *last.others} == {frozenset({NEW})}


async def _renaming(handbook: Library, count: int, looks: list[Look]) -> Traffic:
    async with handbook.load(path=QUERY) as traffic:
        await asyncio.to_thread(generate, handbook, BY_HAND, OLD, 6)
        waits = lambda: bool((handbook.status().get("candidate") or {}).get("waitingFor"))  # noqa: E731
        await asyncio.to_thread(handbook.until, "both revisions to answer", waits)
        await asyncio.to_thread(generate, handbook, BY_HAND, NEW, 6)
        await asyncio.to_thread(handbook.until, f"{NEW} instead of {OLD}", lambda: replaced(handbook, looks), 300)
        # Nobody needs the old key any more: it is revoked while both revisions still answer.
        await asyncio.to_thread(keyed_generator.forget, handbook.namespace, "old")
        await asyncio.to_thread(handbook.namespace.kubectl, "delete", "secret", OLD)
        assert ": Done" in await asyncio.to_thread(handbook.rag, "promote", NAME)
        await asyncio.to_thread(handbook.until_decided, "Promoted", count)
        seen = len(traffic.answers)
        await asyncio.to_thread(handbook.until, "answers by the new revision", lambda: _answered(traffic, seen, handbook), 120)
    return traffic


def test_a_secret_that_is_renamed_during_a_rollout_costs_no_answer(served: Library) -> None:
    namespace, count = served.namespace, len(served.decisions())
    looks: list[Look] = []
    with served.telling():
        namespace.apply(secret(OLD, "old"), secret(NEW, "new"), *keyed_generator.manifests("old", "new"))
        namespace.wait(f"pod/{keyed_generator.NAME}", "condition=Ready")
        generate(served, QUICK, OLD, 5)
        served.until_decided("Promoted", count + 1)
        before = served.role("stable")
        seen = asyncio.run(_renaming(served, count + 2, looks)).summary()
    assert (seen.failed, seen.mixed) == (0, 0), seen
    assert seen.witnessed > 0
    assert set(seen.by_revision) == {before, served.role("stable")}
    assert all(one.named <= mounted for one in looks for mounted in one.ready), looks
    # A gateway has the new one beside the old before any revision is answered by it.
    early = [{*one.ready, *one.others} for one in looks if one.named == {OLD}]
    assert any(frozenset({OLD, NEW}) in mounted for mounted in early), looks


@pytest.mark.parametrize("seed", range(20 if os.environ.get("RAG_CAMPAIGN") else 1))
def test_a_rollout_survives_everything_being_killed_once(make_namespace: Callable[..., Namespace], seed: int) -> None:
    chance = random.Random(seed)
    with library(make_namespace()) as handbook:
        handbook.apply(STATIC, **QUICK)
        handbook.until_answering()
        traffic = asyncio.run(_killing(handbook, chance))
        assert handbook.role("stable") == traffic.answers[-1].revision
        assert traffic.summary().mixed == 0
        # Milvus has one pod here: while it is away a question is refused, never answered wrongly.
        assert {answer.status for answer in traffic.answers} <= {200, 502, 503}, traffic.summary()


async def _killing(handbook: Library, chance: random.Random) -> Traffic:
    async with handbook.load() as traffic:
        await asyncio.to_thread(handbook.apply, MINILM, **QUICK)
        for kind in chance.sample(KILLED, len(KILLED)):
            await asyncio.sleep(chance.uniform(1, 15))  # the random moment
            await asyncio.to_thread(kill, handbook, kind, chance)
        await asyncio.to_thread(handbook.until_decided, "Promoted", 2)
        seen = len(traffic.answers)
        await asyncio.to_thread(handbook.until, "answers by the new revision", lambda: _answered(traffic, seen, handbook), 120)
    return traffic


def _answered(traffic: Traffic, seen: int, handbook: Library) -> bool:
    late = traffic.answers[seen + 20 :]
    return bool(late) and all(answer.status == 200 and answer.revision == handbook.role("stable") for answer in late[-20:])


def kill(handbook: Library, kind: str, chance: random.Random) -> None:
    """Kill one pod of a kind at once; one that is just gone is not there to be killed."""
    label = "app.kubernetes.io/name=rag-operator" if kind == "rag-operator" else f"ragops.dev/kind={kind},ragops.dev/pipeline={NAME}"
    listed = json.loads(handbook.namespace.kubectl("get", "pods", "-l", label, "-o", "json"))["items"]
    if listed:
        name = chance.choice(listed)["metadata"]["name"]
        handbook.namespace.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false", "--ignore-not-found")
