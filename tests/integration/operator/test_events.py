"""Every transition of a rollout has an Event and is counted: no more of them, and no fewer."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.api_only import ApiServer
from cluster.ports import free_port
from integration.operator.proxy import Do
from integration.operator.replica import Nursery
from integration.operator.scenario import MINIMAL, NAME, Change, Scenario, scenario
from rag_operator.kube.resources import EVENTS

LARGE = {"name": "acme/large", "revision": "2", "source": {"image": {"reference": "models:1", "path": "large"}}}
PAUSED = {
    "strategy": "Canary",
    "abortDelay": "0s",
    "rollback": {"window": "1h"},
    "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]},
}
# What people did and what followed, in every order of the rest of the cluster.
FIRST = ("RolloutStarted", "RolloutPromoted", "Ready")
ROLLED_OUT = ("RolloutStarted", "RetrievalUnchecked", "WeightChanged", "WaitingForApproval")
ABORTED = ("VerbDone", "AbortRequested", "Rejected")
RETRIED = ("VerbDone", "Stalled", *ROLLED_OUT)
PROMOTED = ("VerbDone", "WeightChanged", "RolloutPromoted")
ROLLED_BACK = ("VerbDone", "RolledBack", "Rejected")
DONE = (*FIRST, *ROLLED_OUT, *ABORTED, *RETRIED, *PROMOTED, *ROLLED_BACK)
# How long they take depends on the rest of the cluster; the statuses say which of them there were.
STAGES = {"Provisioning", "Indexing", "CatchingUp", "Evaluating", "WarmingUp", "Shifting"}


async def live(found: Scenario) -> None:
    """A first revision, a second one that is aborted, retried and promoted, and the way back."""
    await found.create({**MINIMAL, "rollout": PAUSED})
    await found.ready()
    first = (await found.status())["stable"]["revision"]
    await found.change({"embedder": {"local": {"model": LARGE}}})
    second = await waiting(found)
    await verb(found, "abort", second)
    await verb(found, "retry", second)
    await waiting(found)
    await verb(found, "promote", f"{second}/2")
    await found.until("promoted", lambda body: body["status"]["stable"]["revision"] == second and "candidate" not in body["status"])
    await verb(found, "rollback", first)
    await found.until("rolled back", lambda body: body["status"]["stable"]["revision"] == first)


async def waiting(found: Scenario) -> str:
    """Wait until a candidate waits for approval; its name."""
    body = await found.until("waiting", lambda body: bool((body["status"].get("candidate") or {}).get("waitingFor")))
    return str(body["status"]["candidate"]["revision"])


async def verb(found: Scenario, name: str, value: str) -> None:
    """Give a verb, and wait until it was done."""
    await found.annotate({f"ragops.dev/{name}": value})
    said = {"name": name, "value": value, "result": "Done"}
    await found.until(f"{name} done", lambda body: any(said.items() <= one.items() for one in body["status"]["verbs"]))


def statuses(found: Scenario) -> list[Change]:
    """Every status of the pipeline that the server took, in order."""
    path = f"/ragpipelines/{NAME}/status"
    return [write.body["status"] for write in found.proxy.sent() if write.path.endswith(path) and write.status == 200]


def stays(found: Scenario) -> Iterator[str]:
    """Where candidates had to stay: reason and message of what is told of it, by the statuses."""
    for before, after in itertools.pairwise([{}, *statuses(found)]):
        was, candidate = before.get("candidate") or {}, after.get("candidate") or {}
        # A position that was reached by a move is told of by that move, and keeps the words of the stage before.
        if candidate.get("held") and candidate["stage"] != was.get("stage") and candidate["held"] != was.get("held"):
            yield f"{candidate['stage']} revision {candidate['revision']}: {candidate['held']}"


async def told(found: Scenario) -> list[tuple[str, str]]:
    """The Events of the pipeline: reason and message."""
    events = [event for event in await found.client.list(EVENTS, found.namespace) if event["involvedObject"]["name"] == NAME]
    return [(event["reason"], event["message"]) for event in events]


async def counted(port: int) -> Counter[str]:
    """What the operator's metrics page says of transitions, by reason."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        page = await answer.text()
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return Counter({found.labels["reason"]: int(found.value) for found in samples if found.name == "rag_operator_transitions_total"})


@pytest.mark.timeout(300)
async def test_each_has_an_event_and_is_counted(api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str) -> None:
    port = free_port()
    async with scenario(api, nursery, tmp_path, namespace, metrics_port=port) as found:
        await found.start()
        await live(found)
        events = await told(found)
        assert Counter(f"{reason} {message}" for reason, message in events if reason in STAGES) == Counter(stays(found))
        assert Counter(reason for reason, _ in events if reason not in STAGES) == Counter(DONE)
        assert await counted(port) == Counter(reason for reason, _ in events)


@pytest.mark.timeout(300)
async def test_a_transition_whose_event_is_refused_is_counted_all_the_same(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    port = free_port()
    async with scenario(api, nursery, tmp_path, namespace, metrics_port=port) as found:
        found.proxy.decide = lambda write: Do.REFUSE if write.is_event else Do.PASS
        await found.start()
        await found.create()
        await found.ready()
        assert await told(found) == []
        assert {reason: count for reason, count in (await counted(port)).items() if reason not in STAGES} == dict.fromkeys(FIRST, 1)
