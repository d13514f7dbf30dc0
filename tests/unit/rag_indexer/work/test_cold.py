"""A syncer over indexes in memory of which one is cold: what it still does there, and what it does for the others."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.embedder import EmbedderDouble
from doubles.indexing import differences, text_of
from doubles.ragindex import manifest
from doubles.syncing import DOCUMENTS, World
from rag_indexer.chunking.tokens import BoundedTokens
from rag_indexer.work import health
from rag_indexer.work.comparing import compare
from rag_indexer.work.context import Model
from rag_indexer.work.followed import wakes_up
from rag_runtime.contracts.embedding import ModelCard
from rag_runtime.contracts.index import Index
from rag_runtime.contracts.index_status import IndexStatus, Observed, Work
from rag_runtime.milvus.errors import UnavailableError

UNTIL = "2030-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def _observed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def observe(_: Any, __: Any, store: Any, *___: Any, **____: Any) -> Observed:
        return Observed(loaded=store.facts().loaded)

    monkeypatch.setattr(health, "observe", observe)


async def _cold_beside_a_hot_one(world: World, double: EmbedderDouble) -> list[str]:
    """Both hold the documents, and one of them is cold since. Returns what its store is called for."""
    for name in ("cold", "hot"):
        world.follow(name, double)
    await world.run_pass("cold", "hot")
    cold = world.syncer._followed["cold"]
    cold.target.cold, cold.model = True, Model(cold.target.embedder, ModelCard(id="minilm"), BoundedTokens())
    world.stores["cold"].release()
    calls: list[str] = []
    world.stores["cold"].on_call = lambda method, _: calls.append(method)
    return calls


async def test_what_changed_goes_to_the_hot_one_alone_and_what_is_gone_goes_from_both(world: World, double: EmbedderDouble) -> None:
    calls = await _cold_beside_a_hot_one(world, double)
    less = {name: text for name, text in DOCUMENTS.items() if name != "3.txt"}
    changed = {**less, "2.txt": text_of("document 2", 2, edition=2)}
    world.corpus.become(changed)
    await world.run_pass("cold", "hot")
    assert differences(world.stores["hot"], changed) == []
    assert calls.index("load") < calls.index("delete_chunks") < calls.index("release")
    assert not world.stores["cold"].loaded
    world.stores["cold"].load()
    assert differences(world.stores["cold"], less) == []
    assert world.error("cold") == world.error("hot") == ""


async def test_a_cold_one_is_not_loaded_when_nothing_is_gone(world: World, double: EmbedderDouble) -> None:
    calls = await _cold_beside_a_hot_one(world, double)
    listing = world.syncer._followed["cold"].report.reporter._wanted["sync"]["listing"]
    world.corpus.become({**DOCUMENTS, "new.txt": "Something new."})
    await world.run_pass("cold", "hot")
    assert "load" not in calls
    assert world.syncer._followed["cold"].report.reporter._wanted["sync"]["listing"] == listing
    assert world.syncer._followed["hot"].report.reporter._wanted["sync"]["listing"] != listing


async def test_a_cold_one_that_cannot_be_loaded_keeps_its_documents_until_it_can(world: World, double: EmbedderDouble) -> None:
    await _cold_beside_a_hot_one(world, double)
    away = True

    def restarting(method: str, _: Any) -> None:
        if method == "load" and away:
            raise UnavailableError("the server restarts")

    world.stores["cold"].on_call = restarting
    less = {name: text for name, text in DOCUMENTS.items() if name != "3.txt"}
    world.corpus.become(less)
    await world.run_pass("cold", "hot")
    assert "the server restarts" in world.error("cold")
    assert differences(world.stores["hot"], less) == []
    away = False
    await world.run_pass("cold", "hot")
    world.stores["cold"].load()
    assert differences(world.stores["cold"], less) == []
    assert world.error("cold") == ""


@pytest.mark.parametrize(
    ("heard", "asked", "wakes"),
    [
        (Work(mode="Sync", attempt=1, cold_until=UNTIL), Work(mode="Sync", attempt=1), True),
        (Work(mode="Sync", attempt=0), Work(mode="Sync", attempt=1), True),
        (Work(mode="Sync", attempt=1), Work(mode="Sync", attempt=1), False),
        (Work(mode="Sync", attempt=0), Work(mode="Sync", attempt=1, cold_until=UNTIL), False),
        (Work(mode="Build", attempt=1), Work(mode="Sync", attempt=1), False),
    ],
)
def test_one_that_was_cold_is_loaded_before_that_is_acknowledged(world: World, heard: Work, asked: Work, wakes: bool) -> None:
    index = Index.model_validate(_manifest(asked)).model_copy(update={"status": IndexStatus(acknowledged=heard)})
    assert wakes_up(index) is wakes


def _manifest(work: Work) -> dict[str, Any]:
    return manifest("milvus:19530", "http://embedder:8080/v1", work=work.to_wire())


async def test_a_cold_one_is_not_looked_after_between_its_passes(world: World, double: EmbedderDouble) -> None:
    await _cold_beside_a_hot_one(world, double)
    cold = world.syncer._followed["cold"]
    await compare(world.syncer.context, cold)
    assert cold.compare_at == float("inf"), "a syncer that is always due never sleeps"


async def test_one_that_is_to_wake_up_and_cannot_yet_ends_no_pass_of_the_others(world: World, double: EmbedderDouble) -> None:
    await _cold_beside_a_hot_one(world, double)
    world.syncer._wanted = {name: followed.index for name, followed in world.syncer._followed.items()}
    world.syncer._due.clear()
    ((_, names),) = world.syncer._due_now()
    assert names == ["hot"], "the index is wanted awake and what follows it is cold still"
