"""Drop and check."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from rag_indexer.errors import NotAllowedError
from rag_indexer.reporting import MANAGER_JOB, Reporter
from rag_indexer.work import health
from rag_indexer.work.context import Context
from rag_indexer.work.shapes import owner_of
from rag_indexer.work.sweeping import inspect
from rag_runtime.contracts.index import Index


async def drop(context: Context, index: Index) -> dict[str, Any]:
    """Remove exactly this index's collections. Nothing there is done, too; another owner's are refused."""
    if index.spec.work.mode != "Drop":
        raise NotAllowedError(f"work.mode of {index.name} is {index.spec.work.mode}, expected Drop: an index in use is not dropped")
    store = await context.store(index.spec)
    dropped = await asyncio.to_thread(store.drop, owner_of(index, context.settings.cluster_uid))
    reporter = Reporter(context.sink, index.name, MANAGER_JOB)
    reporter.set(acknowledged=index.spec.work.to_wire(), completed=index.spec.work.to_wire())
    await reporter.flush()
    return {"command": "drop", "index": index.name, "collection": index.spec.collection, "dropped": dropped}


async def check(context: Context, index: Index) -> dict[str, Any]:
    """What the server can do, whether chunks and ledger agree, whether the embedder is the one that made the index."""
    ignored = await health.check_server(context, index)
    target, model = await context.target(index)
    findings = await asyncio.to_thread(inspect, target.store)
    equal = await health.check_probes(target, model, index.spec.identity.content.dimensions, store=False)
    observed = await health.observe(context, index, target.store, model, equal=equal, ignored=ignored)
    shown = {name: len(value) if isinstance(value, list) else value for name, value in asdict(findings).items()}
    return {"command": "check", "index": index.name, "sound": findings.sound, **shown, "observed": observed.to_wire()}
