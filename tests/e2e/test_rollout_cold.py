"""A cold rollback window in the real cluster under load: out of memory, without what is deleted, and back by one command."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from demo import corpus
from demo.pipeline import MINILM, STATIC
from demo.traffic import Answer, Traffic
from e2e.indexes import milvus
from e2e.namespaces import Namespace
from e2e.rollouts import DOCUMENTS, NAME, Library, library
from rag_runtime.milvus.store import MilvusIndex

COLD = {
    "canary": {"steps": [{"setWeight": 50}]},
    "evaluation": None,
    "abortDelay": "5s",
    "rollback": {"window": "24h", "mode": "Cold"},
}
GONE, NEW = "7.md", "written-meanwhile.md"


@pytest.fixture
def handbook(make_namespace: Callable[..., Namespace]) -> Iterator[Library]:
    with library(make_namespace()) as found:
        yield found


def loaded(client: MilvusClient, collection: str) -> bool:
    return bool(client.get_load_state(collection)["state"] == LoadState.Loaded)


def is_cold(handbook: Library, client: MilvusClient) -> bool:
    """Whether the retired revision runs no pod and holds no memory, and says so."""
    retired = handbook.status().get("retired") or {}
    if not retired.get("cold"):
        return False
    index = handbook.index("retired")
    embedder = handbook.namespace.get("deployment", retired["embedder"])
    reasons = {one["type"]: (one["status"], one["reason"]) for one in index["status"]["conditions"]}
    is_idle = not embedder["spec"]["replicas"] and not embedder.get("status", {}).get("replicas")
    return is_idle and reasons["Ready"] == ("False", "Cold") and not loaded(client, index["spec"]["collection"])


def forgotten(handbook: Library, client: MilvusClient) -> bool:
    """Whether the deleted document is gone from the cold index, which is out of memory again, and the new one is not in it."""
    count = len(list(corpus.documents(DOCUMENTS)))
    index = handbook.index("retired")
    ledger = MilvusIndex(client, index["spec"]["collection"]).ledger_of([f"{corpus.SOURCE}/{GONE}", f"{corpus.SOURCE}/{NEW}"])
    fewer = index["status"]["sync"]["documents"] == count - 1
    return fewer and not ledger and handbook.index("stable")["status"]["sync"]["documents"] == count and is_cold(handbook, client)


def there_and_back(handbook: Library, traffic: Traffic, client: MilvusClient, static: str) -> None:
    handbook.apply(MINILM, **COLD)
    handbook.until_decided("Promoted", 2)
    handbook.until("the retired revision to be cold", lambda: is_cold(handbook, client), 180)
    told = handbook.rag("status", NAME)
    assert "cold: going back" in " ".join(told.split()), told
    handbook.source.delete(GONE)
    handbook.source.put(NEW, "A new document, written while one of two indexes was out of memory.")
    handbook.until("the deletion in the cold index", lambda: forgotten(handbook, client), 180)
    assert ": Done" in handbook.rag("rollback", NAME, "--to", static, "--yes")
    handbook.until_decided("RolledBack", 3)
    decided = time.monotonic()
    handbook.until("answers by what was cold", lambda: len(_asked_since(traffic, decided)) >= 50, 120)
    assert {(answer.status, answer.revision) for answer in _asked_since(traffic, decided)} == {(200, static)}


def _asked_since(traffic: Traffic, moment: float) -> list[Answer]:
    return [answer for answer in list(traffic.answers) if answer.asked >= moment]


@pytest.mark.timeout(1800)
def test_going_back_to_a_cold_revision_costs_no_answer_and_brings_back_nothing_that_was_deleted(handbook: Library) -> None:
    with handbook.telling():
        handbook.apply(STATIC, **COLD)
        handbook.until_answering()
        static = handbook.role("stable")
        with milvus(handbook) as client:
            seen = handbook.under_load(lambda traffic: there_and_back(handbook, traffic, client, static)).summary()
            index = handbook.index("stable")
            store = MilvusIndex(client, index["spec"]["collection"])
            assert store.keys_of([f"{corpus.SOURCE}/{GONE}"]) == []
            assert store.keys_of([f"{corpus.SOURCE}/{NEW}"]), "it caught up before anybody was answered from it"
        assert (seen.failed, seen.mixed) == (0, 0), seen
        assert seen.witnessed > 0
        minilm = handbook.decisions()[0]["revision"]
        assert handbook.role("stable") == static
        assert set(seen.by_revision) == {static, minilm}
        assert minilm in [one["revision"] for one in handbook.status()["rejected"]]
