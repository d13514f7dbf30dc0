"""What an index is found to be: facts of the server, and whether the embedder is the one that made it."""

from __future__ import annotations

import asyncio
import time

from rag_indexer import probes
from rag_indexer.errors import PermanentError, SlowEmbedderError
from rag_indexer.indexing.target import Target
from rag_indexer.parsing.documents import PROTOCOL
from rag_indexer.work.context import Context, Model
from rag_indexer.work.shapes import owner_of, shape_of
from rag_runtime.contracts import collections as names
from rag_runtime.contracts.index import Index
from rag_runtime.contracts.index_status import Observed
from rag_runtime.milvus import capabilities
from rag_runtime.milvus.errors import UnavailableError
from rag_runtime.milvus.port import IndexStore
from rag_runtime.milvus.rows import LedgerRow

ABOUT = f"{names.META_PREFIX}about"
PENDING_SECONDS = 120.0


async def check_server(context: Context, index: Index) -> list[str]:
    """Find out what the server can do. Returns what it ignores; raises `UnsupportedError` for what it lacks."""
    client = await context.milvus(index.spec.milvus)
    shape = shape_of(index.spec)
    owner = owner_of(index, context.settings.cluster_uid)
    found = await asyncio.to_thread(capabilities.probe, client, shape, index.spec.collection, owner)
    capabilities.require(found, shape)
    return found.ignored(shape)


def check_card(model: Model, index: Index) -> None:
    """Raise `PermanentError` when the embedder cannot make this index's vectors at all."""
    wanted = index.spec.identity.content.dimensions
    if model.card.dimensions is not None and model.card.dimensions < wanted:
        raise PermanentError(f"the model makes {model.card.dimensions} dimensions, the index wants {wanted}")


async def check_probes(target: Target, model: Model, dimensions: int, *, store: bool, patience: float | None = None) -> str:
    """`Equal` or `Different`: the embedder's probe vectors against the index's. With `store`, an index without any gets them.

    Raises `EmbedderError`: `SlowEmbedderError` when the embedder takes longer than `patience` seconds.
    """
    kept = await asyncio.to_thread(probes.stored_probes, target.store, dimensions)
    try:
        async with asyncio.timeout(patience):
            present = await probes.vectors(model.embedder)
    except TimeoutError as error:
        raise SlowEmbedderError(f"the embedder did not answer within {patience:.0f} s") from error
    if kept:
        made_with = await asyncio.to_thread(probes.stored_precision, target.store)
        return "Equal" if probes.compare(kept, present, made_with, model.card.precision).equal else "Different"
    if not store:
        return "Unknown"
    await asyncio.to_thread(probes.store_probes, target.store, present, time.time(), model.card.precision or "")
    return "Equal"


async def remember_about(store: IndexStore, model: Model) -> None:
    """Write the fingerprint and the parser's protocol into the index, each once."""
    kept = (await asyncio.to_thread(store.ledger_of, [ABOUT])).get(ABOUT)
    fingerprint = model.card.fingerprint or ""
    if kept is not None and (kept.reason or not fingerprint):
        return
    row = LedgerRow(ABOUT, kept.version if kept else PROTOCOL, names.STATE_META, reason=fingerprint, updated=int(time.time()))
    await asyncio.to_thread(store.put_ledger, [row])


async def observe(context: Context, index: Index, store: IndexStore, model: Model | None, *, equal: str, ignored: list[str]) -> Observed:
    """Everything that can be seen of an index now."""
    facts = await asyncio.to_thread(store.facts)
    about = (await asyncio.to_thread(store.ledger_of, [ABOUT])).get(ABOUT)
    client = await context.milvus(index.spec.milvus)
    return Observed.model_validate(
        {
            "model_fingerprint": (about.reason if about else None) or (model.card.fingerprint if model else None),
            "probes": equal,
            "model_token_limit": model.card.max_tokens if model else None,
            "shards": facts.shards,
            "index_type": facts.index_type,
            "metric": facts.metric,
            "loaded": facts.loaded,
            "pending_rows": facts.pending_rows,
            "parser": about.version if about else PROTOCOL,
            "server_version": await asyncio.to_thread(capabilities.server_version, client),
            "ignored": tuple(ignored),
        }
    )


async def indexed(store: IndexStore, seconds: float = PENDING_SECONDS) -> int:
    """Wait until the server has indexed what was flushed; the rows that still wait when `seconds` are over. They are found all the same."""
    deadline, pause = time.monotonic() + seconds, 0.2
    while True:
        try:
            pending = (await asyncio.to_thread(store.facts)).pending_rows
        except UnavailableError:
            pending = -1
        if pending == 0 or time.monotonic() + pause > deadline:
            return pending
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 3.0)
