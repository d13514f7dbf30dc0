"""Looking at an index that is followed: is it loaded, is its embedder the one that made it, what does its ledger say. Each now and then."""

from __future__ import annotations

import asyncio
import time

from rag_indexer.errors import EmbedderError, SlowEmbedderError
from rag_indexer.indexing.passing import load_ledger
from rag_indexer.indexing.spool import Spool
from rag_indexer.work import comparing, health
from rag_indexer.work.context import Context
from rag_indexer.work.followed import Followed
from rag_indexer.work.unexpected import told
from rag_runtime.milvus.errors import LoginError

# The ledger as remembered is compared with the store's this often; every pass that fails reads it anew.
REREAD_SECONDS = 600.0
# Embedders are asked for their card and probe vectors this often.
PROBE_SECONDS = 300.0
PROBE_PATIENCE_SECONDS = 10.0
# One that did not answer, without waiting for a pass: until it does nobody knows whether the index can be used.
RETRY_SECONDS = 15.0
NOT_COMPARED = "the embedder was not compared with the index yet"


async def look_at(context: Context, followed: Followed, spool: Spool) -> None:
    """Load it, compare probes, read its ledger: whatever has not been done lately. Errors end up in its report."""
    now = time.monotonic()
    try:
        if followed.probe_at <= now and (reason := await _ask(context, followed)):
            followed.report.error(reason)
        if now - followed.ledger_read > REREAD_SECONDS:
            await load_ledger(followed.target, spool)
            followed.ledger_read = now
    except Exception as error:
        _failed(followed, error)


async def rest(context: Context, followed: Followed) -> None:
    """Take a cold one out of memory again, whoever loaded it. Errors end up in its report."""
    try:
        await _release(context, followed)
    except Exception as error:
        _failed(followed, error)


async def look_again(context: Context, followed: Followed) -> None:
    """Ask an embedder that did not answer, when that is due. What the sources wait for is told by their passes."""
    if float("-inf") < followed.probe_at <= time.monotonic() and followed.equal == "Unknown":
        try:
            await _ask(context, followed)
        except Exception as error:
            _failed(followed, error)


def _failed(followed: Followed, error: Exception) -> None:
    followed.locked_out = isinstance(error, LoginError)
    followed.report.error(told(error, index=followed.target.name))


async def _ask(context: Context, followed: Followed) -> str:
    """Load it and compare probes. Returns why the embedder did not answer; empty when it did, or when the index is cold."""
    if followed.target.cold:
        await _release(context, followed)
        followed.probe_at = time.monotonic() + PROBE_SECONDS
        return ""
    followed.probe_at = float("-inf")
    refused = await asyncio.to_thread(followed.target.store.load, followed.index.spec.milvus.replicas)
    reason = await _probe(context, followed)
    model, store = followed.model, followed.target.store
    if followed.equal == "Equal":
        await health.remember_about(store, model)
    followed.observed = await health.observe(context, followed.index, store, model, equal=followed.equal, ignored=refused)
    comparing.tell(followed)
    followed.probe_at = time.monotonic() + (RETRY_SECONDS if reason else PROBE_SECONDS)
    return reason


async def _release(context: Context, followed: Followed) -> None:
    store = followed.target.store
    await asyncio.to_thread(store.release)
    followed.observed = await health.observe(context, followed.index, store, followed.model, equal=followed.equal, ignored=[])
    comparing.tell(followed)


async def _probe(context: Context, followed: Followed) -> str:
    spec, target = followed.index.spec, followed.target
    try:
        followed.model = await context.renewed(spec.embedder, PROBE_PATIENCE_SECONDS)
        followed.equal = await health.check_probes(
            target, followed.model, spec.identity.content.dimensions, store=False, patience=PROBE_PATIENCE_SECONDS
        )
    except EmbedderError as error:
        # Deletions need no embedder, an index whose embedder is away is still as good as it was, and other indexes wait for us.
        followed.equal = "Unknown"
        # What comes back may be another model. One that is there and only slow is still who it was.
        if target.unknown or not isinstance(error, SlowEmbedderError):
            target.unknown = str(error)
        return str(error)
    is_other = followed.equal == "Different"
    target.mismatch = "the embedder is not the one that made this index: its probe vectors differ" if is_other else ""
    target.unknown = ""
    return ""
