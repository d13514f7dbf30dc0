"""A rollout comes to the same end, and keeps the same promises, when everything under it is killed once at a random moment."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from demo.pipeline import MINILM, STATIC
from demo.traffic import WITNESSES, Answer, Traffic
from e2e.indexes import equal_to_fresh_builds
from e2e.namespaces import Namespace, is_ready
from e2e.rollouts import NAME, Library, library
from rag_operator.names import LABEL_KIND, LABEL_PIPELINE

# Gates and steps as everywhere; the last pause holds the rollout open until everything was killed.
POLICY = {"canary": {"steps": [{"setWeight": 20}, {"pause": {"duration": "3s"}}, {"setWeight": 60}, {"pause": {}}]}}
OF_PIPELINE = f"{LABEL_PIPELINE}={NAME},{LABEL_KIND}"
KINDS = {
    "operator": "app.kubernetes.io/name=rag-operator",
    "gateway": f"{OF_PIPELINE}=gateway",
    "embedder": f"{OF_PIPELINE}=embedder",
    "indexer": f"{OF_PIPELINE}=indexer",  # a pod that builds, or the one that keeps fresh
    "milvus": f"{OF_PIPELINE}=milvus",
}
ALONE = ("embedder", "milvus")  # one pod each: while it is away a question is refused, never answered wrongly
REFUSED = (502, 503)
# What is asked finds its way back to a pod that is ready again within this time: connections, a collection to load.
BACK_SECONDS = 20.0
# The kubelet gives a pod that is deleted by force two seconds, and on a busy machine takes some to begin: at the end of them
# whatever the pod was answering is cut off.
DYING_SECONDS = 10.0
CUT_OFF = ("RemoteProtocolError", "ReadError", "WriteError")  # the question was sent, and then the connection ended
# Until the node's proxy has heard that the pod is gone, it goes on sending it connections: nobody was asked anything.
NOT_REACHED = ("ConnectError",)


@dataclass(frozen=True)
class Death:
    """A pod that was killed. Times are monotonic seconds."""

    kind: str
    uid: str
    at: float
    replaced: float = 0.0  # when pods of its kind were all ready again

    def excuses(self, answer: Answer) -> bool:
        """Whether this is why the answer failed."""
        if self.kind in ALONE:
            return answer.status in REFUSED and self.at <= answer.at <= self.replaced + BACK_SECONDS
        cut = answer.status == 0 and answer.error.startswith(CUT_OFF + NOT_REACHED)
        return self.kind == "gateway" and cut and self.at <= answer.at <= self.at + DYING_SECONDS


def unexcused(answers: Iterable[Answer], deaths: Iterable[Death]) -> list[Answer]:
    """The failed answers that no death explains."""
    known = tuple(deaths)
    return [answer for answer in answers if answer.failed and not any(death.excuses(answer) for death in known)]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(20 if os.environ.get("RAG_CAMPAIGN") else 1))
def test_a_rollout_survives_everything_being_killed_once(make_namespace: Callable[..., Namespace], seed: int) -> None:
    with library(make_namespace()) as handbook, handbook.telling():
        handbook.apply(STATIC, **POLICY)
        handbook.until_answering()
        static = handbook.role("stable")
        deaths: list[Death] = []
        traffic = handbook.under_load(lambda traffic: deaths.extend(a_rollout_with_deaths(handbook, traffic, random.Random(seed))))
        seen = traffic.summary()
        assert {death.kind for death in deaths} == set(KINDS)
        assert not (left := unexcused(traffic.answers, deaths)), (left[:5], deaths)
        # A question that the killed gateway was answering is cut off with it: one of each client at most.
        assert sum(answer.error.startswith(CUT_OFF) for answer in traffic.answers) <= traffic.clients + WITNESSES
        assert seen.mixed == 0, seen
        assert set(seen.by_revision) == {static, handbook.role("stable")}
        equal_to_fresh_builds(handbook, {"stable": MINILM, "retired": STATIC})


def a_rollout_with_deaths(handbook: Library, traffic: Traffic, chance: random.Random) -> list[Death]:
    handbook.apply(MINILM, **POLICY)
    handbook.until("the rollout to begin", lambda: "candidate" in handbook.status())
    with ThreadPoolExecutor(len(KINDS)) as beside:
        dying = []
        for kind in chance.sample(sorted(KINDS), len(KINDS)):
            time.sleep(chance.uniform(1, 15))  # the random moment
            dying.append(beside.submit(replaced, handbook, kill(handbook, kind, chance)))
        deaths = [one.result() for one in dying]
    assert len(handbook.decisions()) == 1, "the rollout was still under way"
    handbook.until("every step to be done", handbook.waits)
    # The gate could decide, whatever was killed while its questions were asked.
    assert handbook.candidate()["waitingFor"] == str(len(POLICY["canary"]["steps"]))
    assert ": Done" in handbook.rag("promote", NAME, "--wait", "60")
    handbook.until_decided("Promoted", 2)
    handbook.until_answered_by_stable(traffic)
    return deaths


def kill(handbook: Library, kind: str, chance: random.Random) -> Death:
    """Kill one running pod of a kind at once; if there is none just now, the next one."""
    found: list[tuple[str, str]] = []

    def one_runs() -> bool:
        found[:] = running(handbook, kind)
        return bool(found)

    handbook.until(f"a running {kind}", one_runs, 120)
    name, uid = chance.choice(found)
    at = time.monotonic()
    handbook.namespace.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false", "--ignore-not-found")
    return Death(kind, uid, at)


def replaced(handbook: Library, death: Death) -> Death:
    """Wait until others of its kind, if it was alone, are ready."""
    if death.kind in ALONE:
        handbook.until(f"another {death.kind}", lambda: stands(handbook, death), 300)
    return replace(death, replaced=time.monotonic())


def running(handbook: Library, kind: str) -> list[tuple[str, str]]:
    """Names and UIDs."""
    listed = handbook.namespace.listed("pods", KINDS[kind])
    return sorted((one["metadata"]["name"], one["metadata"]["uid"]) for one in listed if one["status"]["phase"] == "Running")


def stands(handbook: Library, death: Death) -> bool:
    listed = handbook.namespace.listed("pods", KINDS[death.kind])
    return bool(listed) and all(one["metadata"]["uid"] != death.uid and is_ready(one) for one in listed)
