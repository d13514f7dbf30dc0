"""The syncer: follows the RAGIndexes of one pipeline and keeps every live one up to date, each source listed once for all of them.

It obeys `spec.work`: Sync is taken up, Stop and everything else is let go, and both are acknowledged. A pass that is under way when an
index is to be let go is finished or given up before the acknowledgement: afterwards nothing is written there any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError

from rag_indexer.errors import PermanentError
from rag_indexer.kube import KubeError
from rag_indexer.work.context import Context, the_index
from rag_indexer.work.following import Syncer
from rag_runtime.contracts.index import LABEL_PIPELINE, Index
from rag_runtime.health import Health
from rag_runtime.server import Stop, serve

logger = logging.getLogger(__name__)

RELIST_SECONDS = 2.0


async def sync(context: Context) -> dict[str, Any]:
    """Run until SIGTERM. Returns what was done."""
    health, stop = Health(), Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.request)
    syncer = Syncer(context)
    syncer.metrics.follow(syncer.states)
    health.ready_when("indexes", lambda: None if syncer.knows else "the indexes are not known yet")
    health.alive_when("passes", syncer.stuck)
    began = time.time()

    @contextlib.asynccontextmanager
    async def working() -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_follow(context, syncer)), asyncio.create_task(syncer.run())]
        for task in tasks:
            task.add_done_callback(lambda done: stop.request() if not done.cancelled() else None)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await syncer.close()
            for problem in ended:
                if isinstance(problem, Exception):
                    raise problem

    settings = context.settings
    await serve(
        [],
        health=health,
        stop=stop,
        metrics_port=settings.metrics_port,
        lifespan=working,
        grace_seconds=settings.grace_seconds,
        drain_seconds=0,
    )
    return {"command": "sync", "seconds": round(time.time() - began, 1), **syncer.summary()}


async def _follow(context: Context, syncer: Syncer) -> None:
    """Tell the syncer which indexes there are, now and whenever that changes."""
    if context.kube is None:
        index = await the_index(context)
        await syncer.set_indexes({index.name: index})
        await asyncio.Event().wait()
        return
    selector = f"{LABEL_PIPELINE}={context.settings.pipeline}"
    while True:
        try:
            await _watch(context, syncer, selector)
        except KubeError as error:
            logger.warning("listing the indexes again", extra={"reason": str(error)})
            if error.status in (401, 403):
                syncer.knows = False
            await asyncio.sleep(RELIST_SECONDS)


async def _watch(context: Context, syncer: Syncer, selector: str) -> None:
    if context.kube is None:
        raise PermanentError("there is no API server to watch")
    items, version = await context.kube.indexes(selector)
    known = {item["metadata"]["name"]: item for item in items}
    await syncer.set_indexes(_parsed(known))
    while True:
        async for event in context.kube.watch(selector, version):
            found = event["object"]
            version = found["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                known.pop(found["metadata"]["name"], None)
            else:
                known[found["metadata"]["name"]] = found
            await syncer.set_indexes(_parsed(known))


def _parsed(items: dict[str, dict[str, Any]]) -> dict[str, Index]:
    """One index that cannot be understood must not keep the others from being served."""
    parsed = {}
    for name, item in items.items():
        try:
            parsed[name] = Index.model_validate(item)
        except ValidationError as error:
            logger.error("a RAGIndex cannot be read", extra={"index": name, "reason": str(error)})
    return parsed
