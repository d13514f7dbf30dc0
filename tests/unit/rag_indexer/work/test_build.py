"""A build tells how far it is while it fills, and says last that it is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from doubles.embedder import EmbedderDouble
from doubles.indexing import DIMENSIONS, SOURCE, Corpus, differences, text_of
from doubles.memory_store import MemoryStore
from doubles.ragindex import manifest
from rag_indexer.reporting import NoSink
from rag_indexer.settings import Settings
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work import build, shares
from rag_indexer.work.build import BuildRun
from rag_indexer.work.context import Context
from rag_runtime.contracts.index import Index
from rag_runtime.milvus.rows import LedgerRow

DOCUMENTS = {f"{number}.txt": text_of(f"document {number}", 1) for number in range(4)}
# Far longer than a build of these takes, far shorter than a test may.
SLOW_SECONDS = 2.0


class SlowFirstNote(MemoryStore):
    """The first note of a share takes until another one is written, or `SLOW_SECONDS`. Documents wait until it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.overtaken = threading.Event(), threading.Event()

    def put_ledger(self, rows: Sequence[LedgerRow]) -> None:
        """A note is a row of a build."""
        is_note = any("build/" in row.document for row in rows)
        if not is_note:
            self.begun.wait(SLOW_SECONDS)
        elif self.begun.is_set():
            super().put_ledger(rows)
            self.overtaken.set()
            return
        else:
            self.begun.set()
            self.overtaken.wait(SLOW_SECONDS)
        super().put_ledger(rows)


async def test_a_note_of_progress_that_takes_long_does_not_undo_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "NOTE_SECONDS", 0.01)
    Corpus(tmp_path / SOURCE).become(DOCUMENTS)
    store = SlowFirstNote()

    async def the_store(*_: Any) -> MemoryStore:
        return store

    settings = Settings(work=tmp_path, parallelism=2, share=1)  # the other share is not done, so this one ends after its note
    context = Context(settings, NoSink(), Surroundings(tmp_path, tmp_path, tmp_path))
    context.store = the_store  # type: ignore[assignment, method-assign]
    async with EmbedderDouble(DIMENSIONS) as double:
        index = Index.model_validate(manifest("milvus:19530", double.url))
        run = BuildRun(context, index)
        target, model = await context.target(index)
        await run._fill(target)
        assert (await run._finish(target, model))["complete"] is False
        await asyncio.to_thread(store.overtaken.wait, SLOW_SECONDS)
        await context.close()
    assert differences(store, DOCUMENTS) == []
    assert [share.done for share in shares.noted(store, index.spec.work.attempt, 2)] == [False, True]
