"""Build: fill a new index from the sources, alone or as one of several pods. Resumable: what an earlier attempt wrote is not done again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rag_indexer.errors import IndexerError, PermanentError
from rag_indexer.indexing.passing import Outcome, SourcePass, load_ledger
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_indexer.indexing.threads import Threads
from rag_indexer.reporting import MANAGER_JOB, Reporter
from rag_indexer.sources.globs import selector
from rag_indexer.sources.opening import open_source
from rag_indexer.work import health, shares
from rag_indexer.work.context import EMBEDDER_SECONDS, Context, Model
from rag_indexer.work.shares import Share
from rag_indexer.work.sweeping import Findings, sweep
from rag_runtime.contracts.index import Index, SourceSpec
from rag_runtime.contracts.index_status import Build, Observed, timestamp

logger = logging.getLogger(__name__)

NOTE_SECONDS = 5.0


class BuildRun:
    """One pod's part of a build."""

    def __init__(self, context: Context, index: Index, *, clock: Callable[[], float] = time.time) -> None:
        self._context = context
        self._index = index
        self._number = context.settings.share
        self._parallelism = context.settings.parallelism
        self._attempt = index.spec.work.attempt
        self._clock = clock
        self._share = Share(started=clock())
        self._reporter = Reporter(context.sink, index.name, MANAGER_JOB)
        self._threads = Threads()
        self._listed: dict[str, int] = {}  # documents, by source

    async def run(self) -> dict[str, Any]:
        """Do it. Returns the summary; raises what ends the attempt."""
        store = await self._context.store(self._index.spec)
        self._reporter.set(acknowledged=self._index.spec.work.to_wire())
        # One pod looks: the scratch collections of many would only be in each other's way.
        if self._number == 0:
            self._share = replace(self._share, ignored=tuple(await health.check_server(self._context, self._index)))
        await self._context.create(self._index, store)
        low, high = shares.bounds(self._number, self._parallelism)
        try:
            target, model = await self._context.target(self._index, low=low, high=high, patience=EMBEDDER_SECONDS)
        except PermanentError:
            await self._tell_limit()
            raise
        health.check_card(model, self._index)
        await health.remember_about(store, model)
        if await health.check_probes(target, model, self._index.spec.identity.content.dimensions, store=True) == "Different":
            raise IndexerError("this embedder is not the one that began this index: their probe vectors differ")
        try:
            await self._fill(target)
        except Exception as error:
            await self._tell(message=str(error))
            raise
        return await self._finish(target, model)

    async def _fill(self, target: Target) -> None:
        spool = Spool(self._context.settings.work / f"build-{self._index.name}-{self._number}.spool")
        ticker = asyncio.create_task(self._tick(target, spool))
        try:
            await load_ledger(target, spool)
            self._measure(target, spool)
            self._share = replace(self._share, before=self._share.documents)
            listed = [await self._source(target, source, spool) for source in self._index.spec.sources]
            if not any(outcome.listed.documents for outcome in listed):
                raise IndexerError("no source has a document: an empty index is not built")
            self._measure(target, spool)
        finally:
            ticker.cancel()
            await asyncio.wait({ticker})
            # A note that is being written must not come after the one that says "done".
            await self._threads.ended()
            spool.close()

    async def _source(self, target: Target, spec: SourceSpec, spool: Spool) -> Outcome:
        source = open_source(spec, self._context.around, max_bytes=self._index.spec.max_document_size)
        try:
            run = SourcePass(source, selector(spec), [target], spool, on_listed=lambda: self._note_listed(spec, spool))
            outcome = (await run.run())[target.name]
        finally:
            await source.close()
        if not outcome.applied:
            raise IndexerError(f"source {spec.name}: {outcome.error or outcome.held}")
        return outcome

    def _note_listed(self, spec: SourceSpec, spool: Spool) -> None:
        # The documents of some sources are no total: who divides by it would tell of too little time.
        self._listed[spec.name] = spool.listed(spec.name)
        if len(self._listed) == len(self._index.spec.sources):
            self._share = replace(self._share, total=sum(self._listed.values()))

    async def _tick(self, target: Target, spool: Spool) -> None:
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            self._measure(target, spool)
            try:
                await self._tell()
            except Exception as error:
                logger.warning("failed to tell the progress", extra={"reason": str(error)})

    def _measure(self, target: Target, spool: Spool) -> None:
        documents, _, chunks, failed = spool.tally(target.name)
        self._share = replace(self._share, documents=documents, chunks=chunks, failed=failed, embedded=target.embedder.embedded)

    async def _note(self) -> Share:
        """Write the share down. Returns what all of them come to."""
        store = await self._context.store(self._index.spec)
        await self._threads.run(shares.note, store, self._attempt, self._number, self._share)
        return shares.together(await self._threads.run(shares.noted, store, self._attempt, self._parallelism))

    async def _tell(self, message: str = "", ended: float | None = None) -> None:
        whole = await self._note()
        # What an earlier attempt wrote took no time of this one.
        rate = max(whole.documents - whole.before, 0) / max(self._clock() - whole.started, 1e-3)
        build = Build(
            documents=whole.documents,
            chunks=whole.chunks,
            total=whole.total or None,
            failed=whole.failed,
            embedded=whole.embedded,
            rate=round(rate, 1),
            start_time=timestamp(whole.started),
            completion_time=timestamp(ended) if ended else None,
            message=message,
        )
        logger.info(
            "progress", extra={"documents": whole.documents, "chunks": whole.chunks, "embedded": whole.embedded, "rate": round(rate, 1)}
        )
        self._reporter.set(build=build.to_wire())
        await self._reporter.flush()

    async def _tell_limit(self) -> None:
        """Say how much the model takes, so that the operator can say in the pipeline's status what the spec may ask for."""
        model = await self._context.model(self._index.spec.embedder)
        self._reporter.set(observed=Observed(model_token_limit=model.card.max_tokens).to_wire())
        await self._reporter.flush()

    async def _finish(self, target: Target, model: Model) -> dict[str, Any]:
        """Note the share as done; whoever sees that all are, looks over the whole index and says that it is complete."""
        await asyncio.to_thread(target.store.flush)
        # Before it is noted as done: from then on another pod may say "complete", and whatever this one said would take that back.
        await self._tell()
        self._share = replace(self._share, done=True)
        whole = await self._note()
        summary = {"command": "build", "index": self._index.name, "share": self._number, **_numbers(self._share)}
        if not whole.done:
            return {**summary, "complete": False}
        findings = await asyncio.to_thread(sweep, target)
        if findings.incomplete or findings.twice:
            raise IndexerError(_sentence(findings))
        ignored = [*whole.ignored, *await asyncio.to_thread(target.store.load, self._index.spec.milvus.replicas)]
        pending = await health.indexed(target.store)
        observed = await health.observe(self._context, self._index, target.store, model, equal="Equal", ignored=ignored)
        self._reporter.set(observed=observed.to_wire(), completed=self._index.spec.work.to_wire())
        await self._tell(ended=self._clock())
        return {**summary, "complete": True, "pendingRows": pending, "orphansRemoved": len(findings.orphans)}


def _numbers(share: Share) -> dict[str, int]:
    return {"documents": share.documents, "chunks": share.chunks, "failed": share.failed, "embedded": share.embedded}


def _sentence(findings: Findings) -> str:
    return (
        f"{len(findings.incomplete)} documents lack chunks and {len(findings.twice)} keys are there twice, "
        f"for example {(findings.incomplete + findings.twice)[0]}"
    )
