"""Which index is followed, which source is due, and running passes. One pass at a time: it may serve several indexes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rag_indexer.errors import SourceError
from rag_indexer.indexing.passing import Outcome, PassStoppedError, SourcePass
from rag_indexer.indexing.spool import Spool
from rag_indexer.kube import KubeError
from rag_indexer.reporting import PAUSE_SECONDS
from rag_indexer.sources.globs import selector
from rag_indexer.sources.opening import OpenSources
from rag_indexer.work import comparing
from rag_indexer.work.context import Context
from rag_indexer.work.followed import Followed, goes_on, is_cold, is_live, locked_out, source_key, wakes_up
from rag_indexer.work.freshness import SyncReport
from rag_indexer.work.looking import NOT_COMPARED, look_again, look_at, rest
from rag_indexer.work.metrics import APPLIED, FAILED, HELD, STOPPED, IndexState, SyncMetrics
from rag_indexer.work.unexpected import told
from rag_runtime.contracts.index import Index, SourceSpec

logger = logging.getLogger(__name__)

# A source that failed is tried again after a short while, or after its interval when that is shorter still.
RETRY_SECONDS = 5.0
# A pass that makes no progress for so long is stuck, and the pod is better started again.
STUCK_SECONDS = 1_800.0


@dataclass
class Syncer:
    """The syncer of one pipeline."""

    context: Context
    metrics: SyncMetrics = field(default_factory=SyncMetrics)
    knows: bool = False
    _wanted: dict[str, Index] = field(default_factory=dict)
    _followed: dict[str, Followed] = field(default_factory=dict)
    _reports: dict[str, SyncReport] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _running: tuple[SourcePass, list[str]] | None = None
    _progress: float = field(default_factory=time.monotonic)
    _passes: int = 0

    def __post_init__(self) -> None:
        self._spool = Spool(self.context.settings.work / "sync.spool")
        self._sources = OpenSources(self.context.around)

    async def set_indexes(self, indexes: Mapping[str, Index]) -> None:
        """These are all the pipeline's indexes now."""
        self._wanted = dict(indexes)
        self.knows = True
        if self._running and not all(goes_on(indexes.get(name), self._followed[name]) for name in self._running[1]):
            self._running[0].stop()
        self._changed.set()

    def stuck(self) -> str | None:
        """Why the process should be started again."""
        silent = time.monotonic() - self._progress
        return f"no progress for {silent:.0f} s" if silent > STUCK_SECONDS else None

    def summary(self) -> dict[str, Any]:
        """What was done."""
        return {"passes": self._passes, "indexes": {name: followed.target.counts.__dict__ for name, followed in self._followed.items()}}

    def states(self) -> list[IndexState]:
        """The indexes that are kept up to date, for the metrics."""
        return [each.report.state(each.target, each.index.spec.embedder.url) for each in self._followed.values()]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            await self._take_up()
            for followed in self._followed.values():
                await comparing.compare(self.context, followed)
                await self._look(look_again(self.context, followed), followed)
            for report in self._reports.values():
                await report.changed()
            for spec, names in self._due_now():
                await self._pass(spec, names)
                self._has_progress()
                if self._changed.is_set():
                    break
            else:
                await self._wait()

    async def close(self) -> None:
        """Let go of sources and scratch space; tell what is not told yet."""
        await self._sources.close()
        for report in self._reports.values():
            with contextlib.suppress(KubeError):
                await report.flush()
        self._spool.close()

    def _has_progress(self) -> None:
        self._progress = time.monotonic()

    async def _wait(self) -> None:
        self._has_progress()
        unknown = (each.probe_at for each in self._followed.values() if each.equal == "Unknown" and each.probe_at > float("-inf"))
        times = (*self._due.values(), *(followed.compare_at for followed in self._followed.values()), *unknown)
        soonest = min(times, default=time.monotonic() + 60.0)
        if any(report.reporter.pending for report in self._reports.values()):
            soonest = min(soonest, time.monotonic() + PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(soonest - time.monotonic(), 0.05)):
                await self._changed.wait()

    # Which indexes.

    async def _take_up(self) -> None:
        for name in locked_out(self._followed):
            self.context.forget_milvus(self._followed.pop(name).index.spec.milvus)
        self._reports = {name: report for name, report in self._reports.items() if report.uid == _uid(self._wanted.get(name))}
        for name in [name for name in self._followed if name not in self._reports or not is_live(self._wanted.get(name))]:
            self._let_go(name)
        for name, index in self._wanted.items():
            if is_live(index):
                await self._follow(name, index)
            elif index.spec.work.mode == "Stop":
                await self._acknowledge(name, index)
        await self._sources.keep(spec for index in self._wanted.values() if is_live(index) for spec in index.spec.sources)

    def _let_go(self, name: str) -> None:
        logger.info("no longer followed", extra={"index": name})
        del self._followed[name]
        self._spool.clear_ledger(name)
        self._spool.clear_written(name)

    async def _acknowledge(self, name: str, index: Index) -> None:
        """Say that it is let go: from here on nothing is written there."""
        report = self._report(name, index)
        report.reporter.set(acknowledged=index.spec.work.to_wire())
        await report.changed()

    def _report(self, name: str, index: Index) -> SyncReport:
        report = self._reports[name] = self._reports.get(name) or SyncReport.of(self.context.sink, index)
        report.follow(index)
        return report

    async def _follow(self, name: str, index: Index) -> None:
        known = self._followed.get(name)
        if known is not None and known.index.spec == index.spec:
            return
        if known is not None and known.index.spec.model_copy(update={"compare": index.spec.compare}) == index.spec:
            known.index, known.verdicts, known.compare_at = index, comparing.remembered(known.verdicts, index), float("-inf")
            return
        report = self._report(name, index)
        try:
            target, model = await (self.context.cold_target(index) if is_cold(index) else self.context.target(index))
            if wakes_up(index):
                # Before it is acknowledged: from then on what is said of it counts.
                await asyncio.to_thread(target.store.load, index.spec.milvus.replicas)
            if known is not None:
                target.counts = known.target.counts
        except Exception as error:
            # It stays as it was; a reader is served from what is there.
            report.error(told(error, index=name))
            await report.changed()
            self._due[f"{name}/"] = time.monotonic() + RETRY_SECONDS
            return
        target.on_progress, target.unknown = self._has_progress, NOT_COMPARED
        verdicts = comparing.remembered(known.verdicts if known is not None else None, index)
        self._followed[name] = Followed(index, target, model, report, verdicts=verdicts)
        report.reporter.set(acknowledged=index.spec.work.to_wire())
        for spec in index.spec.sources:
            self._due[source_key(spec)] = float("-inf")
        await look_at(self.context, self._followed[name], self._spool)
        await report.changed()

    # Which source.

    def _due_now(self) -> Iterable[tuple[SourceSpec, list[str]]]:
        """Sources whose time has come, each with the indexes that live on it."""
        now = time.monotonic()
        by_source: dict[str, tuple[SourceSpec, list[str]]] = {}
        for name, followed in self._followed.items():
            # One that is to wake up and cannot yet has no pass: whatever is told of any index would end it for all.
            for spec in followed.index.spec.sources if goes_on(self._wanted.get(name), followed) else ():
                by_source.setdefault(source_key(spec), (spec, []))[1].append(name)
        self._due = {key: at for key, at in self._due.items() if key in by_source or at > now}
        due = [(self._due.get(key, float("-inf")), found) for key, found in by_source.items()]
        # Who has waited longest comes first: a source that is due again as soon as it is done must leave the others their turn.
        return [found for at, found in sorted(due, key=lambda each: each[0]) if at <= now]

    async def _look(self, looking: Awaitable[None], followed: Followed) -> None:
        """What waited until the embedder was known is due when it is."""
        was_unknown = followed.target.unknown
        await looking
        if was_unknown and not followed.target.unknown:
            self._due |= {source_key(spec): float("-inf") for spec in followed.index.spec.sources}

    async def _pass(self, spec: SourceSpec, names: list[str]) -> None:
        followed = [self._followed[name] for name in names]
        for each in followed:
            await self._look(look_at(self.context, each, self._spool), each)
        usable = [each for each in followed if each.ledger_read > float("-inf")]
        started = time.monotonic()
        if not usable:
            self._due[source_key(spec)] = started + RETRY_SECONDS
            return await self._tell(followed)
        try:
            result = await self._run_pass(spec, usable)
            is_unsure = any(each.ledger_read == float("-inf") for each in followed)
            self._due[source_key(spec)] = _soon(spec) if is_unsure else started + spec.sync_interval
        except Exception as error:
            result = STOPPED if isinstance(error, PassStoppedError) else FAILED
            self._failed(spec, usable, error)
            if isinstance(error, SourceError):
                await self._sources.forget(spec)
            self._due[source_key(spec)] = _soon(spec)
        for each in followed:
            if each.target.cold:
                await rest(self.context, each)
        self.metrics.passed(spec.name, result, time.monotonic() - started)
        return await self._tell(followed)

    async def _run_pass(self, spec: SourceSpec, followed: list[Followed]) -> str:
        """One pass; what it came to, the worst of the indexes."""
        self._passes += 1
        source = await self._sources.of(spec, max(each.index.spec.max_document_size for each in followed))
        targets = [each.target for each in followed]
        run = SourcePass(source, selector(spec), targets, self._spool, on_read=partial(self.metrics.read, spec.name))
        self._running = run, [each.target.name for each in followed]
        telling = asyncio.create_task(self._tell_now_and_then(followed))
        try:
            outcomes = await run.run()
        finally:
            self._running = None
            telling.cancel()
            await asyncio.wait({telling})
        results = [await self._settle(spec, each, outcomes[each.target.name]) for each in followed]
        return next(result for result in (FAILED, HELD, APPLIED) if result in results)

    async def _settle(self, spec: SourceSpec, followed: Followed, outcome: Outcome) -> str:
        """What a pass came to for one index; what fails here is its own."""
        followed.report.passed(spec.name, outcome, followed.target, self._spool)
        failure = outcome.failure
        if failure is None:
            try:
                await self._drop_removed_sources(followed, outcome)
            except Exception as error:
                failure = error
                followed.report.failed(spec.name, told(error, index=followed.target.name))
        if failure is not None:
            followed.doubt(failure)
        if failure is not None or outcome.error:
            return FAILED
        return HELD if outcome.held else APPLIED

    async def _drop_removed_sources(self, followed: Followed, outcome: Outcome) -> None:
        """Documents of a source that the spec no longer has. The same guard holds them when they are many."""
        known = {spec.name for spec in followed.index.spec.sources}
        for source in self._spool.sources_of(followed.target.name) - known:
            held = await followed.report.remove_source(source, outcome.listed.id, followed.target, self._spool)
            logger.info("source removed", extra={"source": source, "index": followed.target.name, "held": str(held) if held else None})

    def _failed(self, spec: SourceSpec, followed: list[Followed], error: Exception) -> None:
        if isinstance(error, PassStoppedError):
            logger.info("the pass was stopped", extra={"source": spec.name})
            return
        reason = told(error, source=spec.name)
        logger.warning("the pass failed", extra={"source": spec.name, "reason": reason, "kind": type(error).__name__})
        for each in followed:
            each.report.failed(spec.name, reason)
            each.doubt(error)

    async def _tell_now_and_then(self, followed: list[Followed]) -> None:
        """A pass over many documents takes long; people want to see it move."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self._tell(followed)

    async def _tell(self, followed: list[Followed]) -> None:
        for each in followed:
            each.report.measure(each.target, self._spool)
            await each.report.changed()


def _uid(index: Index | None) -> str | None:
    return index.uid if index is not None else None


def _soon(spec: SourceSpec) -> float:
    return time.monotonic() + min(RETRY_SECONDS, spec.sync_interval)
