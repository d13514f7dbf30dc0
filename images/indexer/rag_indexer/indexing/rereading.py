"""Looks again for what was written: servers have acknowledged writes and lost them.

A ledger row says "done" as soon as its write is acknowledged, so everything written is remembered (in the spool, past the end of a failed
pass) until it was flushed and read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace

from rag_indexer.indexing.leaving import LeftOut
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_indexer.indexing.threads import Threads
from rag_runtime.contracts.collections import STATE_WRITING
from rag_runtime.milvus.errors import MilvusError

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0


class Rereading:
    """What one pass wrote into `targets`."""

    def __init__(self, targets: Mapping[str, Target], spool: Spool, threads: Threads, left_out: LeftOut) -> None:
        self._targets = targets
        self._spool = spool
        self._threads = threads
        self._left_out = left_out
        # A pass that failed may have left something that was not read again.
        self._written = {name for name in targets if next(spool.written(name, page=1), None)}

    def wrote(self, name: str) -> None:
        """An index is being written to."""
        self._written.add(name)

    async def flush_now_and_then(self) -> None:
        """The one owner of flushes while writes go on: seldom, because each takes seconds and seals what is there."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            for name in self._unread():
                # A failure is no loss: the last flush of the pass counts.
                with contextlib.suppress(MilvusError):
                    await self._threads.run(self._targets[name].store.flush)

    async def lost(self) -> dict[str, set[str]]:
        """Flush, then look for everything written: the documents of each index that are not there, which are planned anew."""
        lost: dict[str, set[str]] = {}
        self._spool.clear_plan()
        for name in self._unread():
            try:
                lost[name] = await self._threads.run(self._lost_of, name)
            except MilvusError as error:
                # It stays remembered: the next pass looks.
                self._left_out.add(name, error)
            self._written.discard(name)
        return {name: documents for name, documents in lost.items() if documents and name not in self._left_out}

    async def look_before_leaving(self) -> None:
        """The pass ends early, and the process may be about to: what is in the ledger as done must be there all the same."""
        await self._threads.ended()
        try:
            if lost := await self.lost():
                logger.warning(
                    "acknowledged writes were lost; the next pass writes them again", extra={"documents": sum(map(len, lost.values()))}
                )
        except MilvusError as error:
            logger.warning("what was written could not be read again; the next pass looks", extra={"reason": str(error)})

    def _unread(self) -> list[str]:
        """Of an index whose store fails nothing can be learned in this pass."""
        return sorted(name for name in self._written if not isinstance(self._left_out.why.get(name), MilvusError))

    def _lost_of(self, name: str) -> set[str]:
        store = self._targets[name].store
        store.flush()
        missing = self._missing(name)
        # Settled rows would be taken for documents whose bytes did not change, after a restart too.
        rows = [replace(row, state=STATE_WRITING) for row in self._spool.ledger_of(name, sorted(missing)).values()]
        if rows:
            store.put_ledger(rows)
            self._spool.put_ledger(name, rows)
        self._spool.clear_written(name)
        if name not in self._left_out and not self._targets[name].cold:
            self._spool.plan_again(name, missing)
        return missing

    def _missing(self, name: str) -> set[str]:
        store = self._targets[name].store
        missing: set[str] = set()
        for page in self._spool.written(name):
            if self._targets[name].cold:
                store.load()
            present = store.present([key for key, _ in page])
            missing |= {document for key, document in page if key not in present}
        return missing
