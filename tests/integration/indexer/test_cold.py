"""An index that is kept out of memory: the syncer deletes what is gone, embeds nothing, and catches up when it is wanted again."""

from __future__ import annotations

from typing import Any

from doubles.indexing import differences
from integration.indexer.pipelines import DOCUMENTS, World

# A fixture is used by being there.
from integration.indexer.pipelines import world as world  # noqa: PLC0414

COLD = {"mode": "Sync", "attempt": 1, "coldUntil": "2030-01-01T00:00:00Z"}
LESS = {name: text for name, text in DOCUMENTS.items() if name != "03.txt"}
MORE = {**LESS, "new.txt": "What was written while the index was out of memory."}


def is_cold(status: dict[str, Any]) -> bool:
    """Whether it is acknowledged, and done."""
    return bool(status.get("acknowledged") == COLD and not status["observed"]["loaded"])


async def test_a_cold_index_loses_what_is_deleted_takes_in_nothing_and_catches_up_when_it_is_loaded(world: World) -> None:
    index = world.make()
    await world.build(index)
    world.patch(index, work={"mode": "Sync"})
    store = world.store(index)
    async with world.syncing():
        await world.until(index, lambda seen: bool(seen.get("sync", {}).get("listing")))
        world.patch(index, work=COLD)
        cold = await world.until(index, is_cold)
        await world.double.stop()
        world.double.texts.clear()
        world.corpus.become(MORE)
        await world.until(index, lambda seen: seen["sync"]["documents"] == len(LESS))
        after = await world.until(index, is_cold)
    assert not store.facts().loaded
    assert after["sync"]["listing"] == cold["sync"]["listing"], "it does not follow, so it is not fresh"
    assert "error" not in after["sync"]["sources"][0]
    assert not world.double.texts
    store.load()
    assert differences(store, LESS) == []
    store.release()

    await world.double.start()
    async with world.syncing():
        world.patch(index, work={"mode": "Sync", "attempt": 1, "coldUntil": None})
        woken = await world.until(
            index, lambda seen: seen["sync"]["documents"] == len(MORE) and seen["sync"]["listing"]["id"] > cold["sync"]["listing"]["id"]
        )
        assert woken["acknowledged"] == {"mode": "Sync", "attempt": 1}
        assert woken["observed"]["loaded"]
    assert differences(store, MORE) == []


async def test_a_syncer_that_starts_while_an_index_is_cold_needs_no_embedder_to_delete_from_it(world: World) -> None:
    index = world.make()
    await world.build(index)
    await world.double.stop()
    world.patch(index, work=COLD)
    async with world.syncing():
        await world.until(index, is_cold)
        world.corpus.become(LESS)
        await world.until(index, lambda seen: seen.get("sync", {}).get("documents") == len(LESS))
        await world.until(index, is_cold)
    store = world.store(index)
    assert not store.facts().loaded
    store.load()
    assert differences(store, LESS) == []
