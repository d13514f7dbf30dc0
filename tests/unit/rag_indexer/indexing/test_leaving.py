"""Stores that fail for one index in a pass over several."""

from __future__ import annotations

import time
from typing import Any

import pytest

from doubles.embedder import EmbedderDouble
from doubles.indexing import differences, text_of
from doubles.syncing import DOCUMENTS, World, broken
from rag_indexer.work.following import RETRY_SECONDS
from rag_runtime.milvus.errors import UnavailableError
from rag_runtime.milvus.rows import LedgerRow


@pytest.mark.parametrize("method", ["put_ledger", "insert_chunks", "delete_chunks", "delete_ledger", "flush"])
async def test_a_store_that_fails_for_one_index_holds_up_no_other(world: World, double: EmbedderDouble, method: str) -> None:
    for name in ("one", "two"):
        world.follow(name, double)
    await world.run_pass("one", "two")
    changed = {**DOCUMENTS, "2.txt": text_of("document 2", 2, edition=2)}
    del changed["3.txt"]
    world.corpus.become(changed)

    def failing(called: str, _: Any) -> None:
        if called == method:
            raise UnavailableError("no space is left")

    world.stores["two"].on_call = failing
    await world.run_pass("one", "two")
    assert (world.error("one"), world.error("two")) == ("", "no space is left")
    assert differences(world.stores["one"], changed) == []
    (due,) = world.syncer._due.values()
    assert due <= time.monotonic() + RETRY_SECONDS

    world.stores["two"].on_call = lambda *_: None
    await world.run_pass("one", "two")
    assert world.error("two") == ""
    assert differences(world.stores["two"], changed) == []


async def test_an_index_that_forgets_what_it_acknowledges_holds_up_no_other(world: World, double: EmbedderDouble) -> None:
    for name in ("one", "two"):
        world.follow(name, double)
    forgetful = world.stores["two"]
    forgetful.on_call = lambda method, _: forgetful.chunks.clear() if method == "flush" else None
    await world.run_pass("one", "two")
    assert differences(world.stores["one"], DOCUMENTS) == []
    assert (world.error("one"), world.error("two")) == ("", "4 documents were written and acknowledged 4 times and cannot be read")


async def test_what_is_left_of_a_removed_source_fails_the_index_alone_that_cannot_delete_it(world: World, double: EmbedderDouble) -> None:
    for name in ("one", "two"):
        world.follow(name, double)
        world.stores[name].ledger["gone/a.txt"] = LedgerRow("gone/a.txt", "1", "empty")
    world.stores["one"].on_call = lambda method, _: broken() if method == "delete_ledger" else None
    await world.run_pass("one", "two")
    assert (world.error("one"), world.error("two")) == ("TypeError: nobody thought of this", "")
    assert ("gone/a.txt" in world.stores["one"].ledger, "gone/a.txt" in world.stores["two"].ledger) == (True, False)
