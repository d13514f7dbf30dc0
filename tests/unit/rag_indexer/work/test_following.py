"""Passes of a syncer over indexes in memory: what goes wrong with one of them, or with one source, and what that must not do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from doubles.embedder import EmbedderDouble
from doubles.indexing import CHUNKING, DIMENSIONS, Corpus, differences, expected_chunks, text_of
from doubles.memory_store import MemoryStore
from doubles.ragindex import manifest
from rag_indexer.chunking.chunks import Chunker
from rag_indexer.chunking.tokens import BoundedTokens
from rag_indexer.indexing import preparing
from rag_indexer.indexing.batching import BATCH_DOCUMENTS
from rag_indexer.indexing.embedding import Embedder
from rag_indexer.indexing.target import Target
from rag_indexer.reporting import NoSink
from rag_indexer.sources import opening
from rag_indexer.sources.directory import DirectorySource
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work import comparing, following
from rag_indexer.work.followed import Followed, source_key
from rag_indexer.work.following import RETRY_SECONDS, Syncer
from rag_indexer.work.freshness import SyncReport
from rag_runtime.contracts.index import Index, SourceSpec
from rag_runtime.contracts.index_status import Work
from rag_runtime.embeddings import EmbeddingsClient
from rag_runtime.milvus.errors import UnavailableError
from rag_runtime.milvus.rows import LedgerRow

DOCUMENTS = {f"{number}.txt": text_of(f"document {number}", 2) for number in range(4)}
LONG_AGO = 10_000.0


async def at_once(_: float) -> None:
    """Pauses are for people who wait."""


def broken(*_: Any, **__: Any) -> Any:
    raise TypeError("nobody thought of this")


class World:
    """A syncer, a directory of documents, and indexes that it follows."""

    def __init__(self, tmp_path: Path) -> None:
        self.corpus = Corpus(tmp_path / "docs")
        self.corpus.become(DOCUMENTS)
        around: Any = SimpleNamespace(
            settings=SimpleNamespace(work=tmp_path), around=Surroundings(tmp_path, tmp_path, tmp_path, broken), sink=NoSink()
        )
        self.syncer = Syncer(around)
        self.stores: dict[str, MemoryStore] = {}

    def follow(self, name: str, double: EmbedderDouble, **spec: Any) -> Followed:
        """Take up an index that is empty."""
        index = Index.model_validate(manifest("milvus:19530", double.url, name=name, work={"mode": "Sync"}, **spec))
        client = EmbeddingsClient(double.url, double.model, dimensions=DIMENSIONS, sleep=at_once)
        store = self.stores[name] = MemoryStore(name)
        chunker = Chunker(BoundedTokens(), CHUNKING)
        target = Target(name, store, Embedder(client, sleep=at_once), chunker, double.url, max_delete_fraction=0.5)
        followed = Followed(index, target, None, SyncReport.of(NoSink(), index))  # type: ignore[arg-type]
        followed.probe_at = float("inf")
        self.syncer._followed[name], self.syncer._reports[name] = followed, followed.report
        return followed

    async def run_pass(self, *names: str, source: int = 0) -> None:
        """One pass over a source of the first index."""
        await self.syncer._pass(self.syncer._followed[names[0]].index.spec.sources[source], list(names))

    def error(self, name: str, source: int = 0) -> str:
        """What the index's status says of a source."""
        sources = self.syncer._followed[name].report.reporter._wanted["sync"]["sources"]
        return str(sources[source].get("error", ""))

    async def close(self) -> None:
        """Let go of everything."""
        for followed in self.syncer._followed.values():
            await followed.target.embedder.client.close()
        await self.syncer.close()


@pytest_asyncio.fixture
async def double() -> AsyncIterator[EmbedderDouble]:
    async with EmbedderDouble(DIMENSIONS) as embedder:
        yield embedder


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.close()


async def test_a_ledger_that_cannot_be_read_again_leaves_no_old_chunks_behind(world: World, double: EmbedderDouble) -> None:
    followed = world.follow("one", double)
    store = world.stores["one"]
    await world.run_pass("one")
    assert differences(store, DOCUMENTS) == []
    changed = {**DOCUMENTS, "2.txt": text_of("document 2", 2, edition=2)}
    del changed["3.txt"]
    world.corpus.become(changed)
    followed.ledger_read -= LONG_AGO
    reads: list[str] = []

    def restarting_once(method: str, argument: Any) -> None:
        if method == "scan_ledger":
            reads.append(argument)
            if len(reads) == 2:
                raise UnavailableError("the server restarts")

    store.on_call = restarting_once
    for _ in range(2):
        await world.run_pass("one")
    followed.ledger_read -= LONG_AGO
    await world.run_pass("one")
    assert len(reads) > 2, "it is read again later"
    assert differences(store, changed) == []
    assert world.error("one") == ""


MANY = {f"{number:03d}.txt": text_of(f"document {number}", 1) for number in range(5 * BATCH_DOCUMENTS)}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("denied", "the embedder refuses: "),
        ("error", "the embedder does not answer: "),
        ("garbage", "the embedder's answer cannot be used: "),
    ],
)
async def test_an_embedder_that_fails_holds_up_its_own_indexes_alone(world: World, double: EmbedderDouble, fault: str, says: str) -> None:
    world.corpus.become(MANY)
    async with EmbedderDouble(DIMENSIONS) as failing:
        failing.fault = fault
        world.follow("stable", double)
        for name in ("retired", "twin"):
            world.follow(name, failing)
        await world.run_pass("stable", "retired", "twin")
        assert differences(world.stores["stable"], MANY) == []
        assert world.error("stable") == ""
        for name in ("retired", "twin"):
            assert world.error(name).startswith(says)
            assert not world.stores[name].chunks
        assert len(set(failing.texts)) <= len(expected_chunks(MANY)) // 2, "what is left of a pass is not tried"

        failing.fault = None
        for followed in world.syncer._followed.values():
            followed.probe_at = float("inf")
        await world.run_pass("stable", "retired", "twin")
        for name in ("retired", "twin"):
            assert differences(world.stores[name], MANY) == []
            assert world.error(name) == ""


class LateDouble(EmbedderDouble):
    """An embedder that fails after some texts."""

    async def _embeddings(self, request: web.Request) -> web.Response:
        self.fault = "error" if len(self.texts) > BATCH_DOCUMENTS else None
        return await super()._embeddings(request)


async def test_an_embedder_that_begins_to_fail_holds_up_its_own_indexes_alone(world: World, double: EmbedderDouble) -> None:
    world.corpus.become(MANY)
    async with LateDouble(DIMENSIONS) as failing:
        world.follow("stable", double)
        retired = world.follow("retired", failing)
        await world.run_pass("stable", "retired")
        assert differences(world.stores["stable"], MANY) == []
        assert world.error("retired").startswith("the embedder does not answer: ")
        assert (retired.probe_at, retired.ledger_read) == (float("-inf"), float("-inf"))


async def test_an_embedder_that_hangs_and_still_says_what_it_serves_holds_up_nobody(
    world: World, double: EmbedderDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "AWAY_SECONDS", 0.5)
    async with EmbedderDouble(DIMENSIONS) as hanging:
        hanging.fault = "hang"
        world.follow("stable", double)
        retired = world.follow("retired", hanging)
        await asyncio.wait_for(world.run_pass("stable", "retired"), 20)
        assert differences(world.stores["stable"], DOCUMENTS) == []
        assert world.error("retired").startswith("the embedder does not answer: ")
        assert retired.ledger_read > float("-inf"), "nothing was written, so what is known still holds"


async def test_an_index_that_needs_no_vectors_needs_no_embedder(world: World, double: EmbedderDouble) -> None:
    async with EmbedderDouble(DIMENSIONS) as failing:
        for name, embedder in (("stable", double), ("retired", failing), ("young", failing)):
            world.follow(name, embedder)
        await world.run_pass("stable", "retired")
        failing.fault = "error"
        world.corpus.become({})
        world.corpus.become(DOCUMENTS)  # the same bytes at another time
        await world.run_pass("stable", "retired", "young")
        assert world.error("retired") == ""
        assert differences(world.stores["retired"], DOCUMENTS) == []
        assert world.error("young").startswith("the embedder does not answer: ")


async def test_with_one_index_alone_a_failing_embedder_ends_the_pass(world: World, double: EmbedderDouble) -> None:
    followed = world.follow("one", double)
    double.fault = "error"
    await world.run_pass("one")
    assert world.error("one").startswith("the embedder does not answer: ")
    assert (followed.probe_at, followed.ledger_read) == (float("-inf"), float("-inf"))


async def test_a_source_whose_glob_is_none_is_told_and_other_sources_go_on(world: World, double: EmbedderDouble) -> None:
    broken = {"name": "wiki", "pvc": {"claimName": "wiki"}, "include": ["[z-a]*.md"]}
    followed = world.follow("one", double, sources=[broken, {"name": "docs", "pvc": {"claimName": "docs"}}])
    for source in (0, 1):
        await world.run_pass("one", source=source)
    assert world.error("one", 0) == "source wiki: include[0] '[z-a]*.md' is no glob: bad character range z-a"
    assert world.error("one", 1) == ""
    assert differences(world.stores["one"], DOCUMENTS) == []
    assert followed.ledger_read > float("-inf"), "nothing was written, so what is known still holds"


async def test_an_unexpected_error_of_one_source_is_told_and_other_sources_go_on(
    world: World, double: EmbedderDouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "ConfigMapSource", broken)
    world.follow("one", double, sources=[{"name": "wiki", "configMap": {"name": "wiki"}}, {"name": "docs", "pvc": {"claimName": "docs"}}])
    for source in (0, 1):
        await world.run_pass("one", source=source)
    assert world.error("one", 0) == "TypeError: nobody thought of this"
    assert world.error("one", 1) == ""
    assert differences(world.stores["one"], DOCUMENTS) == []
    assert "in broken" in caplog.text


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


async def test_an_unexpected_error_of_one_index_is_told_and_the_others_go_on(world: World, double: EmbedderDouble) -> None:
    for name in ("one", "two"):
        world.follow(name, double)
    followed = world.syncer._followed["two"]
    followed.probe_at = float("-inf")
    world.stores["two"].on_call = broken
    await world.run_pass("one", "two")
    assert world.error("two") == "TypeError: nobody thought of this"
    assert world.error("one") == ""
    assert differences(world.stores["one"], DOCUMENTS) == []


async def test_an_index_that_cannot_be_taken_up_for_a_reason_nobody_expected_leaves_the_others(
    world: World, double: EmbedderDouble
) -> None:
    fine = world.follow("one", double)
    known = {name: world.follow(name, double).index for name in ("two", "three")}

    async def target(index: Index) -> Any:
        return broken() if index.name == "two" else (fine.target, SimpleNamespace())

    world.syncer.context.target = target  # type: ignore[assignment, method-assign]
    world.syncer._followed.clear()
    await world.syncer.set_indexes(known)
    await world.syncer._take_up()
    assert list(world.syncer._followed) == ["three"]
    assert world.syncer._reports["two"].reporter._wanted["sync"]["sources"][0]["error"] == "TypeError: nobody thought of this"


async def test_an_unexpected_error_of_an_embedder_that_is_compared_costs_its_verdict(world: World, double: EmbedderDouble) -> None:
    other = {"url": "http://other", "model": "double", "dimensions": DIMENSIONS}
    followed = world.follow("one", double, compare=[other])
    followed.model = SimpleNamespace(card=SimpleNamespace(fingerprint=None))  # type: ignore[assignment]
    world.syncer.context.model = broken  # type: ignore[method-assign]
    await comparing.compare(world.syncer.context, followed)
    assert followed.verdicts == {}
    assert followed.compare_at < float("inf"), "it is asked again"


async def test_a_source_that_is_always_due_leaves_the_others_their_turn(world: World, double: EmbedderDouble) -> None:
    world.follow("one", double, sources=[{"name": name, "pvc": {"claimName": name}} for name in ("slow", "docs")])
    passes: list[str] = []

    async def _pass(spec: SourceSpec, names: list[str]) -> None:
        passes.append(spec.name)
        world.syncer._due[source_key(spec)] = time.monotonic()
        world.syncer._changed.set()  # as every report does that the API server tells of
        if len(passes) == 4:
            raise asyncio.CancelledError

    world.syncer._pass = _pass  # type: ignore[method-assign]
    world.syncer._followed["one"].compare_at = float("inf")
    await world.syncer.set_indexes({"one": world.syncer._followed["one"].index})
    with contextlib.suppress(asyncio.CancelledError):
        await world.syncer.run()
    assert passes == ["slow", "docs", "slow", "docs"]


async def test_a_listing_that_goes_on_and_a_pass_that_ends_are_progress(
    world: World, double: EmbedderDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = world.follow("one", double)
    followed.compare_at = float("inf")
    followed.target.on_progress = world.syncer._has_progress
    await world.run_pass("one")
    stuck: list[str | None] = []

    def selecting(_: SourceSpec) -> Any:
        world.syncer._progress -= LONG_AGO
        return lambda _: bool(stuck.append(world.syncer.stuck()))

    monkeypatch.setattr(following, "selector", selecting)
    world.syncer._due.clear()
    world.syncer._wait = broken  # type: ignore[method-assign]
    await world.syncer.set_indexes({"one": followed.index})
    with pytest.raises(TypeError):
        await world.syncer.run()
    assert stuck == [None] * len(DOCUMENTS)
    world.syncer._progress -= LONG_AGO
    monkeypatch.setattr(DirectorySource, "_listed", list)
    world.syncer._due.clear()
    with pytest.raises(TypeError):
        await world.syncer.run()
    assert world.syncer.stuck() is None


async def test_an_index_that_is_gone_leaves_no_report_and_one_of_its_name_is_told_everything(world: World, double: EmbedderDouble) -> None:
    index = world.follow("one", double).index
    stopped = index.model_copy(update={"spec": index.spec.model_copy(update={"work": Work(mode="Stop")})})
    syncer = world.syncer
    told = []
    for uid in ("1", "1", "2"):
        await syncer.set_indexes({"one": stopped.model_copy(update={"metadata": {"name": "one", "uid": uid}})})
        await syncer._take_up()
        told.append(syncer._reports["one"])
    assert told[0] is told[1] is not told[2]
    assert told[2].reporter._written == {"acknowledged": {"mode": "Stop", "attempt": 0}}
    await syncer.set_indexes({})
    await syncer._take_up()
    assert (syncer._reports, syncer._followed) == ({}, {})
