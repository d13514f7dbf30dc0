"""What a syncer says of one index: how fresh each source is, what failed, what is held, since when something waits."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime

from rag_indexer.indexing.deleting import Held, delete_gone
from rag_indexer.indexing.passing import Outcome
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_indexer.reporting import MANAGER_SYNC, Reporter, Sink
from rag_indexer.work.metrics import IndexState, SourceState
from rag_runtime.contracts.index import Index
from rag_runtime.contracts.index_status import MAX_FAILED, DeletionHeld, FailedDocument, Listing, Observed, SourceSync, Sync, timestamp


@dataclass
class SyncReport:
    """The `sync` part of a status. What an earlier syncer said is the beginning: a restart does not make an index look unsynced."""

    reporter: Reporter
    uid: str = ""  # of the object: one of the same name that is made anew was told nothing yet
    _sources: dict[str, SourceSync] = field(default_factory=dict)
    _held: dict[str, Held] = field(default_factory=dict)
    _waiting: dict[str, float] = field(default_factory=dict)
    _names: tuple[str, ...] = ()
    _counted: Sync = field(default_factory=Sync)

    @classmethod
    def of(cls, sink: Sink, index: Index) -> SyncReport:
        """The report of an index, continued."""
        report = cls(Reporter(sink, index.name, MANAGER_SYNC), index.uid)
        # An apply names all that is ours: what is not repeated is gone.
        if index.status and index.status.sync:
            report._counted = index.status.sync
            report._sources = {known.name: known for known in index.status.sync.sources}
            report._held = _held_before(index.status.sync)
            report._waiting = _waiting_before(index.status.sync)
            report.reporter.set(sync=index.status.sync.to_wire())
        if index.status and index.status.observed:
            report.observed(index.status.observed.model_copy(update={"ignored": ()}))
        report.follow(index)
        return report

    def follow(self, index: Index) -> None:
        """The index as it is now: what is said is said of its sources, and what was known of others is forgotten."""
        self._names = tuple(spec.name for spec in index.spec.sources)
        self._sources = {name: known for name, known in self._sources.items() if name in self._names}
        self._waiting = {name: since for name, since in self._waiting.items() if name in self._names}

    def observed(self, found: Observed) -> None:
        """What was seen of the index. What the build found out that the server ignores stands beside it: the list is a set."""
        self.reporter.set(observed=found.to_wire())

    def error(self, message: str) -> None:
        """Something that concerns no single source; it is shown with each until a pass succeeds."""
        for name in self._names:
            self.failed(name, message)
        self._publish()

    def failed(self, source: str, message: str) -> None:
        """A pass failed: the last listing that was applied stays what it was."""
        known = self._sources.get(source) or SourceSync(name=source)
        self._sources[source] = known.model_copy(update={"error": message[:1_000]})
        self._waiting.setdefault(source, time.time())

    def passed(self, source: str, outcome: Outcome, target: Target, spool: Spool) -> None:
        """A pass ended."""
        self._held.pop(source, None)
        if outcome.held:
            self._held[source] = outcome.held
        documents = spool.tally(target.name, source)[0]
        if outcome.held or outcome.error:
            return self.failed(source, outcome.error or str(outcome.held))
        if not outcome.applied:
            # Cold: what was deleted is gone; the rest of the listing waits until the index is wanted again.
            known = self._sources.get(source) or SourceSync(name=source)
            self._sources[source] = known.model_copy(update={"error": None, "documents": documents})
            return None
        self._waiting.pop(source, None)
        listing = Listing(id=outcome.listed.id, start_time=timestamp(outcome.listed.started), duration=round(outcome.seconds, 3))
        self._sources[source] = SourceSync(name=source, listing=listing, documents=documents)
        return None

    async def remove_source(self, source: str, listing: str, target: Target, spool: Spool) -> Held | None:
        """Delete what is left of a source that is gone from the spec, or hold it."""
        spool.clear_listing(source)
        known = spool.tally(target.name)[1]
        held = await asyncio.to_thread(delete_gone, target, source, listing, spool, now=time.time(), of=known)
        if held:
            self._held[source] = held
        else:
            self._held.pop(source, None)
        return held

    def measure(self, target: Target, spool: Spool) -> None:
        """Count what the index holds now and put everything into the status."""
        documents, _, chunks, failed = spool.tally(target.name)
        rows = spool.failed(target.name, MAX_FAILED)
        self._counted = Sync(
            documents=documents,
            chunks=chunks,
            embedded=target.counts.inserted,
            failed=tuple(FailedDocument(id=row.document, reason=row.reason, attempts=max(row.attempts, 1)) for row in rows),
            failed_count=failed,
        )
        self._publish()

    def state(self, target: Target, embedder: str) -> IndexState:
        """The same for the metrics."""
        names = dict.fromkeys((*self._names, *self._held))  # a source that the spec dropped may be held, too
        sources = (self._sources.get(name) or SourceSync(name=name) for name in names)
        return IndexState(
            target.name,
            documents=self._counted.documents,
            chunks=self._counted.chunks,
            failed=self._counted.failed_count,
            counts=target.counts,
            embedder=embedder,
            embedded=target.embedder.embedded,
            sources=tuple(SourceState(source.name, _listed(source), self._held_of(source.name)) for source in sources),
        )

    def _held_of(self, source: str) -> int:
        held = self._held.get(source)
        return held.documents if held else 0

    def _publish(self) -> None:
        sources = tuple(self._sources[name] for name in self._names if name in self._sources)
        fresh = {
            "listing": _oldest(sources) if len(sources) == len(self._names) else None,
            "sources": sources,
            "deletion_held": self._shown_held(),
            "oldest_pending": timestamp(min(self._waiting.values())) if self._waiting else None,
        }
        self.reporter.set(sync=self._counted.model_copy(update=fresh).to_wire())

    def _shown_held(self) -> DeletionHeld | None:
        held = next(iter(self._held.values()), None)
        return DeletionHeld(listing=held.listing, documents=held.documents, of=held.of) if held else None

    async def changed(self) -> None:
        """Write it, if it is time."""
        await self.reporter.changed()

    async def flush(self) -> None:
        """Write it now."""
        await self.reporter.flush()


def _held_before(said: Sync) -> dict[str, Held]:
    """What an earlier syncer held, until the source whose listing showed it is listed again. A listing's id begins with its source."""
    held = said.deletion_held
    names = {source.name for source in said.sources}
    source = held.listing.rsplit("-", 2)[0] if held else ""
    return {source: Held(held.listing, held.documents, held.of, None)} if held and source in names else {}


def _waiting_before(said: Sync) -> dict[str, float]:
    """Since when sources that failed wait."""
    since = datetime.fromisoformat(said.oldest_pending).timestamp() if said.oldest_pending else None
    return {source.name: since for source in said.sources if source.error} if since is not None else {}


def _listed(source: SourceSync) -> float | None:
    return datetime.fromisoformat(source.listing.start_time).timestamp() if source.listing else None


def _oldest(sources: tuple[SourceSync, ...]) -> Listing | None:
    """The index is as fresh as the source that was applied longest ago."""
    listings = [source.listing for source in sources if source.listing]
    return min(listings, key=lambda listing: listing.start_time) if len(listings) == len(sources) and listings else None
