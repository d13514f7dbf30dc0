"""A syncer over indexes in memory: what goes wrong with one of them, or with one source, and what that must not do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import SimpleNamespace
from typing import Any

import pytest

from doubles.embedder import EmbedderDouble
from doubles.indexing import DIMENSIONS, differences, text_of
from doubles.syncing import DOCUMENTS, LONG_AGO, World, broken
from rag_indexer.sources import opening
from rag_indexer.sources.directory import DirectorySource
from rag_indexer.work import comparing, following
from rag_indexer.work.followed import source_key
from rag_runtime.contracts.index import Index, MilvusAccess, SourceSpec
from rag_runtime.contracts.index_status import Work
from rag_runtime.milvus.errors import LoginError, UnavailableError
from rag_runtime.milvus.rows import LedgerRow


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


async def test_an_index_whose_ledger_was_never_read_is_tried_again_soon_beside_others(world: World, double: EmbedderDouble) -> None:
    for name in ("one", "two"):
        world.follow(name, double)

    def restarting(method: str, _: Any) -> None:
        if method == "scan_ledger":
            raise UnavailableError("the server restarts")

    world.stores["two"].on_call = restarting
    world.stores["two"].ledger["docs/0.txt"] = LedgerRow("docs/0.txt", "1", "empty")
    await world.run_pass("one", "two")
    assert (world.error("one"), world.error("two")) == ("", "the server restarts")
    (due,) = world.syncer._due.values()
    assert due <= time.monotonic() + following.RETRY_SECONDS


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


async def test_an_unexpected_error_of_an_embedder_that_is_compared_costs_its_verdict(
    world: World, double: EmbedderDouble, caplog: pytest.LogCaptureFixture
) -> None:
    other = {"url": "http://other", "model": "double", "dimensions": DIMENSIONS}
    followed = world.follow("one", double, compare=[other])
    followed.model = SimpleNamespace(card=SimpleNamespace(fingerprint=None))  # type: ignore[assignment]
    world.syncer.context.renewed = broken  # type: ignore[method-assign]
    await comparing.compare(world.syncer.context, followed)
    assert followed.verdicts == {}
    assert "in broken" in caplog.text
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


async def test_sources_of_an_index_that_is_gone_are_closed(world: World, double: EmbedderDouble) -> None:
    followed = world.follow("one", double)
    await world.run_pass("one")
    assert world.syncer._sources._open
    await world.syncer.set_indexes({})
    await world.syncer._take_up()
    assert world.syncer._sources._open == {}
    await followed.target.embedder.client.close()


async def test_a_milvus_that_lets_nobody_in_any_more_is_connected_to_anew(world: World, double: EmbedderDouble) -> None:
    followed = world.follow("one", double)

    def locked(method: str, _: Any) -> None:
        if method == "insert_chunks":
            raise LoginError("auth check failure")

    world.stores["one"].on_call = locked
    await world.run_pass("one")
    forgotten: list[MilvusAccess] = []
    world.syncer.context.forget_milvus = forgotten.append  # type: ignore[method-assign]
    await world.syncer.set_indexes({})
    await world.syncer._take_up()
    assert forgotten == [followed.index.spec.milvus]
    await followed.target.embedder.client.close()
