"""What a build lives through, and a candidate that cannot run: stable answers every question meanwhile.

A build of three pods loses one by force and then all by a drain of the node. A candidate without GPU, memory or volume says so in the
scheduler's words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pytest
from pymilvus import MilvusClient

from cluster.full import Cluster
from demo import corpus
from demo.pipeline import MINILM, STATIC, Model
from demo.traffic import Summary, Traffic
from e2e.builds import BUILDERS, Build, drain
from e2e.indexes import differences, fresh, milvus
from e2e.rollouts import DOCUMENTS, NAME, Library, fresh_namespace, library, of_fixed_size, pipeline
from rag_indexer.probes import TEXTS
from rag_operator import names
from rag_runtime.milvus.store import MilvusIndex

pytestmark = pytest.mark.timeout(1800)
POLICY = {"canary": {"steps": [{"setWeight": 50}]}, "evaluation": None, "abortDelay": "2s"}
MANY = 600  # documents: enough that a third of them is several batches
OWN = f"{names.LABEL_PIPELINE}={NAME}"
WRITTEN = MANY // 10  # chunks that the build has written before anything is done to it
REPLACED = 300  # seconds; a share whose pod was killed and evicted pauses for twenty
# So slow that the build still runs when its pods have been replaced, however fast the machine is.
SLOW = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "250m", "memory": "1Gi"}}
# No claims: a model cache is the pipeline's, and stays for the next who asks for the same.
CHILDREN = "deployments,services,pods,jobs,hpa,poddisruptionbudgets,ragindexes,controllerrevisions"


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[Library]:
    """A pipeline whose first revision serves; the tests try other models."""
    with fresh_namespace(cluster) as found, library(found) as handbook:
        for key, text in islice(corpus.documents(MANY), DOCUMENTS or MANY, None):
            handbook.source.put(key, text)
        handbook.namespace.apply(first(handbook))
        handbook.until_answering()
        handbook.until("the first build to be cleared away", lambda: not working(handbook), 300)
        yield handbook


def first(handbook: Library) -> dict[str, Any]:
    """What serves. The tests look whether it is touched, so nobody else may start or stop pods of it."""
    return of_fixed_size(pipeline(handbook, STATIC, POLICY))


def working(handbook: Library) -> list[dict[str, Any]]:
    """The Jobs that there are, and their pods."""
    listed = handbook.namespace.listed
    return listed("jobs", OWN) + listed("pods", f"{OWN},batch.kubernetes.io/job-name")


def change(handbook: Library, model: Model, edit: Callable[[dict[str, Any]], None]) -> None:
    """Apply the pipeline with this model and what `edit` does to its spec."""
    document = pipeline(handbook, model, POLICY)
    edit(document["spec"])
    handbook.namespace.apply(document)


def meanwhile(handbook: Library, story: Callable[[Traffic], None], clients: int) -> Summary:
    """Tell a story to its end while clients ask: no answer fails, none is mixed."""
    seen = handbook.under_load(story, clients).summary()
    assert (seen.failed, seen.mixed) == (0, 0), seen
    assert seen.witnessed > 0, "nobody said which collection and dimension it was answered from"
    return seen


# ---------------------------------------------------------------- a candidate that cannot be placed


def wants_gpu(spec: dict[str, Any]) -> None:
    spec["embedder"]["local"]["pod"]["resources"] = {"limits": {"nvidia.com/gpu": "1000", "memory": "1Gi"}}


def wants_memory(spec: dict[str, Any]) -> None:
    spec["embedder"]["local"]["pod"]["resources"] = {"requests": {"memory": "900Ti"}, "limits": {"memory": "900Ti"}}


def wants_disk(spec: dict[str, Any]) -> None:
    spec["embedder"]["local"]["modelCache"] = {"size": "1Gi", "storageClassName": "nowhere"}


UNPLACEABLE = {
    "no GPU": (wants_gpu, "Insufficient nvidia.com/gpu"),
    "no memory": (wants_memory, "Insufficient memory"),
    "no disk": (wants_disk, "unbound immediate PersistentVolumeClaims"),
}


def standing(handbook: Library) -> dict[str, str]:
    """Everything of the pipeline by kind and name, with its uid."""
    found = handbook.namespace.listed(CHILDREN, OWN)
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["uid"] for one in found}


def quoted(handbook: Library, words: str) -> bool:
    """Whether status, its column, the condition and `kubectl rag status` all have the scheduler's words."""
    status = handbook.status()
    conditions = {one["type"]: one.get("message", "") for one in status.get("conditions", ())}
    told = (
        status.get("message", ""),
        (status.get("candidate") or {}).get("held", ""),
        conditions.get("Reconciling", ""),
        " ".join(handbook.rag("status", NAME).split()),
    )
    return all(words in one for one in told)


@pytest.mark.parametrize("lack", UNPLACEABLE)
def test_a_candidate_that_cannot_be_placed_says_so_in_the_schedulers_words(served: Library, lack: str) -> None:
    edit, words = UNPLACEABLE[lack]
    stable, count, before = served.role("stable"), len(served.decisions()), standing(served)
    with milvus(served) as client, served.telling():
        collections = set(client.list_collections())

        def story(_: Traffic) -> None:
            change(served, MINILM, edit)
            served.until(f"the status to say {words!r}", lambda: quoted(served, words), 120)
            assert (served.role("stable"), served.status()["traffic"], served.status()["candidate"]["stage"]) == (
                stable,
                "100/0",
                "Provisioning",
            )
            assert before.items() <= standing(served).items(), "what serves was touched"
            served.namespace.apply(first(served))
            served.until_decided("Reverted", count + 1)
            served.until("nothing of the candidate to be left", lambda: standing(served) == before, 120)

        seen = meanwhile(served, story, clients=3)
        assert set(seen.by_revision) == {stable}
        assert set(client.list_collections()) == collections


# ---------------------------------------------------------------- a build that loses its pods


def three_slow_builders(spec: dict[str, Any]) -> None:
    spec["indexer"]["buildParallelism"] = BUILDERS
    local = spec["embedder"]["local"]
    local["pod"]["resources"] = SLOW
    del local["autoscaling"]


@dataclass(frozen=True)
class Drained:
    """What was so when the node was drained."""

    build: Build
    written: int  # chunks that the index held before
    since: float  # when the pods began to be taken away
    until: float


def disturb(handbook: Library, client: MilvusClient) -> Drained:
    """Kill one build pod by force; when all shares are worked on again, evict every build pod."""
    change(handbook, MINILM, three_slow_builders)
    handbook.until("an index to be built", lambda: bool(building(handbook)))
    build = Build(handbook, building(handbook))
    first = build.until_running(set())
    handbook.until(f"{WRITTEN} chunks written", lambda: rows(client, build.collection) >= WRITTEN)
    since, killed = time.monotonic(), next(iter(first))
    handbook.namespace.kubectl("delete", "pod", first[killed], "--grace-period=0", "--force", "--wait=false")
    second = build.until_running({killed})
    assert len(first.keys() & second.keys()) == BUILDERS - 1, "more than the killed pod was replaced"
    written = rows(client, build.collection)
    drain(handbook, second)
    job = build.job["status"]
    assert not job.get("succeeded"), f"a share was done before its pod was evicted: {job}"
    handbook.until("every evicted pod to be replaced", lambda: build.is_without(set(second)), REPLACED)
    job = build.job["status"]
    assert job.get("failed", 0) == 1, f"the kill counts against the Job, the drain does not: {job}"
    return Drained(build, written, since, time.monotonic())


def rows(client: MilvusClient, collection: str) -> int:
    return MilvusIndex(client, collection).count_chunks() if client.has_collection(collection) else 0


def building(handbook: Library) -> str:
    """The candidate's index, once it is there to be built."""
    index = str(handbook.candidate().get("index", ""))
    return index if index and handbook.namespace.exists("ragindex", index) else ""


@pytest.mark.own_cluster  # no node of somebody else's cluster is cordoned
def test_a_build_of_three_pods_survives_a_kill_and_a_drain_and_nobody_notices(served: Library) -> None:
    before, count = served.role("stable"), len(served.decisions())
    found: list[Drained] = []
    with milvus(served) as client, served.telling():

        def story(traffic: Traffic) -> None:
            found.append(disturb(served, client))
            meanwhile_answered = [one.revision for one in traffic.answers if found[0].since <= one.at <= found[0].until]
            assert set(meanwhile_answered) == {before}
            served.until_decided("Promoted", count + 1)
            served.until_answered_by_stable(traffic)

        seen = meanwhile(served, story, clients=8)
        drained = found[0]
        assert set(seen.by_revision) == {before, served.role("stable")}
        status = drained.build.status
        assert drained.build.attempt == 1, "another Job had to end what the first began"
        # The pods that ended the build began after these rows were written: they embedded none of those again, but each the probes.
        assert status["embedded"] <= status["chunks"] - drained.written + BUILDERS * len(TEXTS), (status, drained)
        with fresh(served, MINILM) as built:
            assert differences(client, drained.build.collection, built) == []
