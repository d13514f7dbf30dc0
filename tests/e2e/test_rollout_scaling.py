"""A rollout while the HPA scales: neither fights the other, and what answers keeps the pods that its load needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from demo import corpus
from demo.pipeline import MINILM, STATIC, Model
from demo.traffic import Summary, Traffic
from e2e.namespaces import Namespace
from e2e.rollouts import DOCUMENTS, NAME, Library, library, pipeline

STEPS = [{"setWeight": 30}, {"pause": {"duration": "10s"}}, {"setWeight": 60}, {"pause": {"duration": "10s"}}]
POLICY = {"canary": {"steps": STEPS}, "evaluation": None}
HELD = 60  # seconds: scaleDownWindow, for so long the size of what was rolled back to is held
ALONE = 45  # seconds after that, in which nothing but the HPA holds it: three of its rounds


@dataclass(frozen=True)
class Look:
    """One look at both embedders in the middle of the rollout."""

    weight: int  # the candidate's
    wanted_by_hpa: int  # of stable
    stable: int  # replicas that its Deployment asks for
    candidate: int  # ready pods


def short(looks: Sequence[Look], wanted_afterwards: int) -> list[Look]:
    """The looks at which stable had fewer replicas than its HPA wanted both then and at the look after it.

    An HPA writes the scale first and what it wants afterwards, and it may do so between the two reads of one look: then the number that it
    came down from was read before, and the one that it came down to is seen by the next look, long before the HPA's next round.
    """
    wanted = [*(one.wanted_by_hpa for one in looks[1:]), wanted_afterwards]
    return [one for one, then in zip(looks, wanted, strict=True) if one.stable < min(one.wanted_by_hpa, then)]


@dataclass(frozen=True)
class Back:
    """One look at the embedder that was rolled back to."""

    at: float  # seconds since the command returned
    least: int  # replicas that its HPA may not go below
    wanted_by_hpa: int
    replicas: int  # that its Deployment asks for


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


def wanted_by(scaler: dict[str, Any]) -> int:
    """How many replicas an HPA said that it wants when it last scaled; 0 before it said anything."""
    return int((scaler.get("status") or {}).get("desiredReplicas") or 0)


def look(handbook: Library, stable: str) -> Look | None:
    """What stands now; `None` while there is no candidate."""
    candidate = handbook.candidate()
    if not candidate.get("embedder") or candidate["embedder"] == stable:
        return None
    wanted = wanted_by(handbook.namespace.get("hpa", stable))
    ready = deployment(handbook, candidate["embedder"]).get("status", {}).get("readyReplicas") or 0
    return Look(int(candidate.get("weight") or 0), wanted, deployment(handbook, stable)["spec"]["replicas"], ready)


def apply_slow_to_shrink(handbook: Library, model: Model) -> None:
    """What leaves is let go long before, so it is not what holds anybody's size."""
    document = pipeline(handbook, model, {**POLICY, "abortDelay": "5s"})
    document["spec"]["embedder"]["local"]["autoscaling"]["scaleDownWindow"] = f"{HELD}s"
    handbook.namespace.apply(document)


def look_back(handbook: Library, embedder: str, since: float) -> Back:
    scaler = handbook.namespace.get("hpa", embedder)
    replicas = deployment(handbook, embedder)["spec"]["replicas"]
    return Back(time.monotonic() - since, scaler["spec"]["minReplicas"], wanted_by(scaler), replicas)


def is_idle(handbook: Library, embedder: str) -> bool:
    """Whether the HPA has seen that nobody asks this embedder any more."""
    metrics = (handbook.namespace.get("hpa", embedder).get("status") or {}).get("currentMetrics") or []
    return [one["external"]["current"].get("averageValue") for one in metrics if one.get("external")] == ["0"]


async def until_scaled(handbook: Library, embedder: str) -> None:
    scaled = lambda: (deployment(handbook, embedder).get("status", {}).get("readyReplicas") or 0) >= 2  # noqa: E731
    await asyncio.to_thread(handbook.until, "a second embedder", scaled, 240)


async def busily(handbook: Library, story: Callable[[], Awaitable[None]], seconds: float) -> Summary:
    """Tell a story to its end while more is asked than one embedder takes."""
    async with busy(handbook) as traffic:
        await asyncio.wait_for(story(), seconds)
    return traffic.summary()


def owns_replicas(manager: dict[str, Any]) -> bool:
    return manager["manager"].startswith("rag-operator") and "f:replicas" in manager.get("fieldsV1", {}).get("f:spec", {})


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_a_rollout_under_an_hpa_takes_no_pod_from_what_answers(handbook: Library) -> None:
    handbook.apply(MINILM, **POLICY)
    handbook.until_answering()
    stable = handbook.status()["stable"]["embedder"]
    looks: list[Look] = []

    async def story() -> None:
        await until_scaled(handbook, stable)
        await asyncio.to_thread(handbook.apply, STATIC, **POLICY)
        while len(handbook.decisions()) < 2:
            if (seen := await asyncio.to_thread(look, handbook, stable)) is not None:
                looks.append(seen)
            await asyncio.sleep(0.5)  # between two looks

    with handbook.telling():
        seen = asyncio.run(busily(handbook, story, 900))
    assert handbook.decisions()[0]["outcome"] == "Promoted"
    assert (seen.failed, seen.mixed) == (0, 0), seen
    assert {one.weight for one in looks} >= {30, 60}, looks
    # Nobody but the HPA writes the Deployment, so it has at each moment what the HPA wants.
    assert not (fewer := short(looks, wanted_by(handbook.namespace.get("hpa", stable)))), (fewer, looks)
    for name in (stable, handbook.status()["stable"]["embedder"]):
        assert not any(owns_replicas(manager) for manager in deployment(handbook, name)["metadata"]["managedFields"]), name
    # Before it gets 60 % of what two or three pods bear, the candidate has more than the one it began with.
    assert all(one.candidate >= 2 for one in looks if one.weight == 60), looks
    pods = " ".join(f"{one.weight}%:{one.stable}/{one.candidate}" for one in looks)
    print(f"{seen.requests} answers, p99 {seen.p99 * 1000:.0f} ms; candidate's weight: pods of stable/candidate: {pods}")


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_what_is_rolled_back_to_keeps_the_pods_that_its_load_needs(handbook: Library) -> None:
    apply_slow_to_shrink(handbook, MINILM)
    handbook.until_answering()
    before = handbook.status()["stable"]
    embedder = before["embedder"]
    looks: list[Back] = []
    kept: list[int] = []

    async def story() -> None:
        await until_scaled(handbook, embedder)
        await asyncio.to_thread(apply_slow_to_shrink, handbook, STATIC)
        await asyncio.to_thread(handbook.until_decided, "Promoted", 2)
        # The worst moment: to the HPA, which looks every 15 s at what was scraped before, one pod is more than enough.
        await asyncio.to_thread(handbook.until, "an idle embedder", lambda: is_idle(handbook, embedder), 180)
        kept.append(look_back(handbook, embedder, 0).least)
        assert ": Done" in await asyncio.to_thread(handbook.rag, "rollback", NAME, "--to", before["revision"], "--yes")
        since, alone = time.monotonic(), 0.0
        while not alone or looks[-1].at < alone + ALONE:
            looks.append(await asyncio.to_thread(look_back, handbook, embedder, since))
            alone = alone or (looks[-1].at if looks[-1].least < kept[0] else 0.0)
            await asyncio.sleep(0.5)  # between two looks

    with handbook.telling():
        seen = asyncio.run(busily(handbook, story, 1200))
    assert handbook.decisions()[0]["outcome"] == "RolledBack"
    assert (seen.failed, seen.mixed) == (0, 0), seen
    assert kept[0] >= 2, "what had the traffic needed two pods, and was kept at that"
    # The operator began to count a little before the command returned.
    assert all(one.least == kept[0] <= one.replicas for one in looks if one.at < HELD - 5), looks
    # Afterwards the load itself holds the pods, for by then the HPA has seen it.
    assert all(one.replicas >= 2 for one in looks), looks
    assert looks[-1].wanted_by_hpa >= 2, looks[-1]
    assert not any(owns_replicas(manager) for manager in deployment(handbook, embedder)["metadata"]["managedFields"])
    pods = " ".join(f"{one.at:.0f}s:{one.least}/{one.replicas}" for one in looks[::4])
    print(f"{seen.requests} answers, p99 {seen.p99 * 1000:.0f} ms; seconds after the rollback: least/actual replicas: {pods}")
