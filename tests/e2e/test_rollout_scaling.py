"""A rollout while the HPA scales: neither fights the other, and what answers keeps the pods that its load needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from demo import corpus
from demo.pipeline import MINILM, STATIC
from demo.traffic import Traffic
from e2e.namespaces import Namespace
from e2e.rollouts import DOCUMENTS, Library, library

STEPS = [{"setWeight": 30}, {"pause": {"duration": "10s"}}, {"setWeight": 60}, {"pause": {"duration": "10s"}}]
POLICY = {"canary": {"steps": STEPS}, "evaluation": None}


@dataclass(frozen=True)
class Look:
    """One look at both embedders in the middle of the rollout."""

    weight: int  # the candidate's
    wanted_by_hpa: int  # of stable
    stable: int  # replicas that its Deployment asks for
    candidate: int  # ready pods


@pytest.fixture
def handbook(make_namespace: Callable[..., Namespace]) -> Iterator[Library]:
    with library(make_namespace()) as found:
        yield found


def busy(handbook: Library) -> Traffic:
    """More load than one embedder takes: passages as questions, each asked once, so that no cache answers them."""
    quiet = handbook.load()
    passages = [" ".join(text.split()[:120]) for _, text in corpus.documents(DOCUMENTS)]
    return Traffic(quiet.url, [f"{number} {text}" for number in range(200) for text in passages], quiet.preview, clients=48)


def deployment(handbook: Library, name: str) -> dict[str, Any]:
    return handbook.namespace.get("deployment", name)


def look(handbook: Library, stable: str) -> Look | None:
    """What stands now; `None` while there is no candidate."""
    candidate = handbook.status().get("candidate") or {}
    if not candidate.get("embedder") or candidate["embedder"] == stable:
        return None
    scaler = handbook.namespace.get("hpa", stable).get("status") or {}
    ready = deployment(handbook, candidate["embedder"]).get("status", {}).get("readyReplicas") or 0
    return Look(
        int(candidate.get("weight") or 0), int(scaler.get("desiredReplicas") or 0), deployment(handbook, stable)["spec"]["replicas"], ready
    )


def owns_replicas(manager: dict[str, Any]) -> bool:
    return manager["manager"].startswith("rag-operator") and "f:replicas" in manager.get("fieldsV1", {}).get("f:spec", {})


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_a_rollout_under_an_hpa_takes_no_pod_from_what_answers(handbook: Library) -> None:
    handbook.apply(MINILM, **POLICY)
    handbook.until_answering()
    stable = handbook.status()["stable"]["embedder"]
    looks: list[Look] = []

    async def story(traffic: Traffic) -> None:
        scaled = lambda: (deployment(handbook, stable).get("status", {}).get("readyReplicas") or 0) >= 2  # noqa: E731
        await asyncio.to_thread(handbook.until, "a second embedder", scaled, 240)
        await asyncio.to_thread(handbook.apply, STATIC, **POLICY)
        while len(handbook.decisions()) < 2:
            if (seen := await asyncio.to_thread(look, handbook, stable)) is not None:
                looks.append(seen)
            await asyncio.sleep(0.5)  # between two looks

    async def run() -> Traffic:
        async with busy(handbook) as traffic:
            await asyncio.wait_for(story(traffic), 900)
        return traffic

    with handbook.telling():
        seen = asyncio.run(run()).summary()
    assert handbook.decisions()[0]["outcome"] == "Promoted"
    assert (seen.failed, seen.mixed) == (0, 0), seen
    assert {one.weight for one in looks} >= {30, 60}, looks
    # The Deployment follows its HPA, a sync period behind; nobody but the HPA writes it.
    assert all(one.stable >= min(2, one.wanted_by_hpa) for one in looks if one.weight), looks
    for name in (stable, handbook.status()["stable"]["embedder"]):
        assert not any(owns_replicas(manager) for manager in deployment(handbook, name)["metadata"]["managedFields"]), name
    # Before it gets 60 % of what two or three pods bear, the candidate has more than the one it began with.
    assert all(one.candidate >= 2 for one in looks if one.weight == 60), looks
    pods = " ".join(f"{one.weight}%:{one.stable}/{one.candidate}" for one in looks)
    print(f"{seen.requests} answers, p99 {seen.p99 * 1000:.0f} ms; candidate's weight: pods of stable/candidate: {pods}")
