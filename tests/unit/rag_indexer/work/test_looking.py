"""Embedders that are compared with an index: one that hangs, one that was replaced, and a store that is slow meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from doubles.embedder import EmbedderDouble
from doubles.indexing import CHUNKING, DIMENSIONS, Corpus, differences
from doubles.memory_store import MemoryStore
from doubles.ragindex import manifest
from doubles.syncing import DOCUMENTS
from rag_indexer import probes, reporting
from rag_indexer.chunking.chunks import Chunker
from rag_indexer.indexing.target import Target
from rag_indexer.settings import Settings
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work import comparing, health, looking
from rag_indexer.work.context import Context
from rag_indexer.work.followed import Followed, source_key
from rag_indexer.work.following import Syncer
from rag_indexer.work.freshness import SyncReport
from rag_runtime.contracts.index import EmbedderAccess, Index
from rag_runtime.contracts.index_status import Observed
from rag_runtime.milvus.rows import LedgerRow


class Sink:
    """Remembers what was said of the probes last."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.ignored: list[str] | None = None

    async def apply(self, index: str, status: dict[str, Any], manager: str) -> None:
        self.ignored = status.get("observed", {}).get("ignored")
        self.said.put_nowait(status.get("observed", {}).get("probes", ""))

    async def until(self, probes: str) -> None:
        while await self.said.get() != probes:
            pass


class SlowStore(MemoryStore):
    """A store that once takes longer than an embedder may."""

    is_slow = False

    def ledger_of(self, documents: Sequence[str]) -> dict[str, LedgerRow]:
        if self.is_slow:
            self.is_slow = False
            time.sleep(1.2 * looking.PROBE_PATIENCE_SECONDS)
        return super().ledger_of(documents)


async def _observed(_: Context, __: Index, ___: object, model: Any, *, equal: str, ignored: list[str]) -> Observed:
    return Observed.model_validate({"probes": equal, "model_fingerprint": model.card.fingerprint, "ignored": ignored})


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (looking, "PROBE_PATIENCE_SECONDS", 60.0),
        (looking, "RETRY_SECONDS", 0.1),
        (reporting, "PAUSE_SECONDS", 0.0),
        (health, "observe", _observed),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """For embedders that hang. One that answers has all the time that a busy machine takes."""

    @contextlib.contextmanager
    def patience() -> Iterator[None]:
        with monkeypatch.context() as short:
            short.setattr(looking, "PROBE_PATIENCE_SECONDS", 1.0)
            yield

    return patience


@pytest_asyncio.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = Context(Settings(RAG_WORK_DIR=tmp_path), Sink(), Surroundings(tmp_path, tmp_path, tmp_path))
    yield made
    await made.close()


async def followed(context: Context, double: EmbedderDouble, store: MemoryStore, **spec: Any) -> Followed:
    """An index with this embedder's probe vectors."""
    index = Index.model_validate(manifest("milvus:19530", double.url, name="one", work={"mode": "Sync"}, **spec))
    model = await context.model(index.spec.embedder)
    probes.store_probes(store, await probes.vectors(model.embedder), 0, "")
    target = Target("one", store, model.embedder, Chunker(model.tokens, CHUNKING), double.url)
    return Followed(index, target, model, SyncReport.of(context.sink, index), ledger_read=time.monotonic())


async def test_an_embedder_that_did_not_answer_is_asked_again_soon_without_a_pass(
    context: Context, double: EmbedderDouble, impatient: Callable[[], AbstractContextManager[None]]
) -> None:
    one = await followed(context, double, MemoryStore())
    syncer = Syncer(context)
    syncer._followed["one"], syncer._reports["one"] = one, one.report
    syncer._due[source_key(one.index.spec.sources[0])] = float("inf")
    await syncer.set_indexes({"one": one.index})
    double.fault = "hang"
    with impatient():
        await looking.look_at(context, one, syncer._spool)
    assert one.equal == "Unknown"
    with impatient():
        running = asyncio.create_task(syncer.run())
        await context.sink.until("Unknown")  # type: ignore[attr-defined]
    double.fault = None
    await asyncio.wait_for(context.sink.until("Equal"), 120)  # type: ignore[attr-defined]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await syncer.close()


@pytest.mark.parametrize("fault", ["hang", "away"])
async def test_an_embedder_that_could_not_be_compared_yet_embeds_nothing(
    context: Context, double: EmbedderDouble, tmp_path: Path, fault: str, impatient: Callable[[], AbstractContextManager[None]]
) -> None:
    Corpus(tmp_path / "docs").become(DOCUMENTS)
    store = MemoryStore()
    one = await followed(context, double, store)
    index, syncer = one.index, Syncer(context)

    async def target(_: Index) -> tuple[Target, Any]:
        if fault == "away":
            await double.stop()
        double.fault = fault
        return one.target, one.model

    context.target = target  # type: ignore[assignment, method-assign]
    await syncer.set_indexes({"one": index})
    with impatient():
        await syncer._take_up()
    made, double.fault, double.fingerprint = double.fingerprint, None, "another model"
    if fault == "away":
        await double.start()
    one = syncer._followed["one"]
    one.probe_at = float("inf")
    await syncer._pass(index.spec.sources[0], ["one"])
    assert (one.equal, store.count_chunks()) == ("Unknown", 0)
    assert one.probe_at == float("inf"), "it is asked when it would have been"
    double.fingerprint, one.probe_at = made, 0.0
    await syncer._look(looking.look_again(context, one), one)
    assert list(syncer._due.values()) == [float("-inf")]
    await syncer._pass(index.spec.sources[0], ["one"])
    assert one.equal == "Equal"
    assert differences(store, DOCUMENTS) == []
    await syncer.close()


async def test_an_embedder_that_is_slow_once_it_was_compared_goes_on(
    context: Context, double: EmbedderDouble, impatient: Callable[[], AbstractContextManager[None]]
) -> None:
    one = await followed(context, double, MemoryStore())
    await looking.look_at(context, one, None)  # type: ignore[arg-type]
    assert (one.equal, one.target.unknown) == ("Equal", "")
    double.fault, one.probe_at = "hang", float("-inf")
    with impatient():
        await looking.look_at(context, one, None)  # type: ignore[arg-type]
    assert (one.equal, one.target.unknown) == ("Unknown", "")


async def test_what_a_replaced_embedder_says_of_itself_is_said_of_it(context: Context, double: EmbedderDouble) -> None:
    async with EmbedderDouble(DIMENSIONS) as second:
        other = EmbedderAccess(url=second.url, model="double", dimensions=DIMENSIONS, query_prefix="question: ")
        one = await followed(context, double, MemoryStore(), compare=[other.model_dump(by_alias=True, exclude_none=True)])
        for packed in ("print-1", "print-2"):
            double.packed = second.packed = packed
            one.probe_at = one.compare_at = float("-inf")
            await looking.look_at(context, one, None)  # type: ignore[arg-type]
            await comparing.compare(context, one)
            assert one.equal == "Equal"
            assert {url: verdict.model_fingerprint for url, verdict in one.verdicts.items()} == {double.url: packed, second.url: packed}


async def test_what_the_server_refuses_of_an_index_in_use_is_said_and_stops_nothing(context: Context, double: EmbedderDouble) -> None:
    one = await followed(context, double, MemoryStore())
    one.target.store.refused = ["milvus.replicas stays what it was"]  # type: ignore[attr-defined]
    await looking.look_at(context, one, None)  # type: ignore[arg-type]
    await one.report.reporter.flush()
    assert one.equal == "Equal"
    assert context.sink.ignored == ["milvus.replicas stays what it was"]  # type: ignore[attr-defined]


async def test_a_slow_store_is_not_the_embedders_fault(context: Context, double: EmbedderDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SlowStore()
    one = await followed(context, double, store)
    monkeypatch.setattr(looking, "PROBE_PATIENCE_SECONDS", 2.0)
    store.is_slow = True
    await looking.look_at(context, one, None)  # type: ignore[arg-type]
    assert one.equal == "Equal"
