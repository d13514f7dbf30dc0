"""A build tells how far it is while it fills, and says last that it is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from doubles.embedder import EmbedderDouble
from doubles.indexing import DIMENSIONS, SOURCE, Corpus, differences, text_of
from doubles.memory_store import MemoryStore
from doubles.ragindex import manifest
from rag_indexer.indexing.spool import Spool
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
# For what comes in the end, however slow the machine is.
PATIENCE = 60.0


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


class Clock:
    """Stands still until somebody sets it."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Told(NoSink):
    """What builds said of how far they are."""

    def __init__(self) -> None:
        self.builds: list[dict[str, Any]] = []
        self.listed = threading.Event()

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        if "build" in status:
            self.builds.append(status["build"])
            if status["build"].get("total"):
                self.listed.set()


class WaitsToBeTold(MemoryStore):
    """No document is written before somebody was told how many there are."""

    listed = threading.Event()

    def put_ledger(self, rows: Sequence[LedgerRow]) -> None:
        if not any("build/" in row.document for row in rows):
            assert self.listed.wait(PATIENCE)
        super().put_ledger(rows)


async def test_a_build_says_of_how_many_documents_how_many_are_done_and_how_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "NOTE_SECONDS", 0.01)
    store, told, clock = WaitsToBeTold(), Told(), Clock()
    store.listed = told.listed

    async def the_store(*_: Any) -> MemoryStore:
        return store

    context = Context(Settings(work=tmp_path), told, Surroundings(tmp_path, tmp_path, tmp_path))
    context.store = the_store  # type: ignore[assignment, method-assign]

    async def built(documents: dict[str, str], seconds: float) -> dict[str, Any]:
        """What is told after an attempt that took so long."""
        Corpus(tmp_path / SOURCE).become(documents)
        run = BuildRun(context, index, clock=clock)
        await run._fill((await context.target(index))[0])
        clock.now += seconds
        await run._tell()
        return told.builds[-1]

    async with EmbedderDouble(DIMENSIONS) as double:
        index = Index.model_validate(manifest("milvus:19530", double.url))
        first = await built(DOCUMENTS, 8.0)
        chunks = len(store.chunks)
        early = next(said for said in told.builds if said.get("total"))
        second = await built({**DOCUMENTS, "new-1.txt": text_of("new", 1), "new-2.txt": text_of("new", 2)}, 10.0)
        await context.close()
    assert (early["documents"], early["total"], early["rate"]) == (0, 4, 0.0)
    assert (first["documents"], first["chunks"], first["total"], first["rate"]) == (4, chunks, 4, 0.5)
    # Four were there before this attempt began: they say nothing about how fast it is.
    assert (second["documents"], second["total"], second["rate"]) == (6, 6, 0.2)


def test_a_total_is_known_when_every_pod_has_listed() -> None:
    one = shares.Share(documents=2, total=3, before=1)
    assert shares.together([one, shares.Share(documents=1)]).total == 0
    assert shares.together([one, shares.Share(total=4, before=2)]) == shares.Share(documents=2, total=7, before=3)
    assert shares.together([one, shares.Share(done=True)]).total == 3


def test_a_total_is_known_when_the_last_source_is_listed(tmp_path: Path) -> None:
    raw = manifest("milvus:19530", "http://embedder")
    raw["spec"]["sources"] = [{**raw["spec"]["sources"][0], "name": name} for name in ("one", "two")]
    index = Index.model_validate(raw)
    run = BuildRun(Context(Settings(work=tmp_path), NoSink(), Surroundings(tmp_path, tmp_path, tmp_path)), index)
    spool = cast(Spool, SimpleNamespace(listed={"one": 3, "two": 4}.__getitem__))
    totals = []
    for source in index.spec.sources:
        run._note_listed(source, spool)
        totals.append(run._share.total)
    assert totals == [0, 7]
