"""The command line: `python -m rag_indexer <command>`. Everything else comes from the environment (docs/indexer.md)."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rag_indexer.errors import IndexerError
from rag_indexer.reporting import print_summary
from rag_indexer.settings import Settings
from rag_indexer.work.context import Context, as_indexer_error, opened, the_index
from rag_runtime import logs
from rag_runtime.contracts.index import Index
from rag_runtime.milvus.errors import MilvusError
from rag_runtime.settings import load

logger = logging.getLogger(__name__)

STOPPED = 128 + signal.SIGTERM
Command = Callable[[Context, Index], Awaitable[dict[str, Any]]]
HELP = {
    "build": "fill a new index from the sources",
    "copy": "fill a new index from another one's chunks and vectors; shortens vectors where the new one has fewer dimensions",
    "truncate": "copy, but only to fewer dimensions",
    "check": "compare an index with itself and its embedder; changes nothing",
    "drop": "remove an index's collections, if they are its own",
    "sync": "keep every live index of a pipeline up to date; runs until it is stopped",
    "evaluate": "compare two revisions on questions with known answers",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 1: failed, try again; 2: change something first; 3: refused; 143: stopped."""
    parser = argparse.ArgumentParser(prog="rag_indexer", description="Keeps the indexes of a pipeline equal to its sources.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in HELP.items():
        commands.add_parser(name, help=text, description=text)
    chosen = parser.parse_args(arguments).command
    settings = load(Settings)
    logs.configure(settings.log_level, pipeline=settings.pipeline, component=settings.index or chosen, pod=settings.pod)
    return asyncio.run(_until_stopped(chosen, settings))


async def _until_stopped(chosen: str, settings: Settings) -> int:
    """The first process of a container ignores a signal that it does not handle: a build would go on for the pod's whole grace period."""
    running = asyncio.ensure_future(_run(chosen, settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        logger.warning("stopped", extra={"command": chosen})
        return STOPPED


async def _run(chosen: str, settings: Settings) -> int:
    try:
        settings.work.mkdir(parents=True, exist_ok=True)
        async with opened(settings) as context:
            summary = await _dispatch(chosen, context)
    except (IndexerError, MilvusError) as error:
        known = as_indexer_error(error)
        logger.error("failed", extra={"command": chosen, "reason": str(known), "exit_code": known.exit_code})
        print_summary({"command": chosen, "error": str(known)[:2_000], "exitCode": known.exit_code}, settings.termination_log)
        return known.exit_code
    print_summary(summary, settings.termination_log)
    return 0


async def _dispatch(chosen: str, context: Context) -> dict[str, Any]:
    if chosen == "sync":
        from rag_indexer.work.sync import sync

        return await sync(context)
    return await _command(chosen)(context, await the_index(context))


def _command(chosen: str) -> Command:
    """Imported when chosen: a drop needs no PDF parser."""
    if chosen == "build":
        from rag_indexer.work.build import BuildRun

        return lambda context, index: BuildRun(context, index).run()
    if chosen in ("copy", "truncate"):
        from rag_indexer.work.copying import CopyRun

        return lambda context, index: CopyRun(context, index, must_shorten=chosen == "truncate").run()
    if chosen == "evaluate":
        from rag_indexer.work.evaluation import evaluation

        return evaluation
    from rag_indexer.work import maintenance

    return maintenance.drop if chosen == "drop" else maintenance.check


if __name__ == "__main__":
    sys.exit(main())
