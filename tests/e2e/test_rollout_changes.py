"""What a change does not do: a new layout embeds nothing, other passages start no pod; and a rollout survives what is killed under it."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.full import Cluster
from demo.pipeline import MINILM, STATIC
from demo.traffic import Traffic
from e2e.namespaces import Namespace
from e2e.rollouts import NAME, Library, fresh_namespace, library, pipeline

QUICK = {"canary": {"steps": [{"setWeight": 50}]}, "evaluation": None}
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
