"""Tells one story as often as it has writes, with an operator that dies at another one each time."""

from __future__ import annotations

import gc
from concurrent.futures import ProcessPoolExecutor

from simulation.run import Crash, Run
from simulation.stories import STORIES

WRITES_AT_ONCE = 10


def crash(name: str, writes: range, after: bool) -> list[str]:
    """Return what went otherwise than undisturbed when the operator died at each of these writes, before it or after it."""
    expected = _end(Run().tell(STORIES[name]))
    gc.collect()
    return [wrong for write in writes if (wrong := _told(name, Crash(write, after), expected))]


def _told(name: str, planned: Crash, expected: tuple[object, ...]) -> str:
    try:
        run = Run(crash=planned).tell(STORIES[name])
    except AssertionError as error:
        return f"{planned}\n{error}"
    return "" if _end(run) == expected else f"{planned} ends otherwise\n" + "\n".join(run.world.lines)


def _end(run: Run) -> tuple[object, ...]:
    world, record = run.world, run.record
    endings = [(decision.what, decision.revision) for decision in record.decisions]
    weights = dict(world.table.weights) if world.table else {}
    return (endings, record.stable, record.rejected, weights, sorted(world.parts), sorted(world.revisions))


def crash_everywhere(pool: ProcessPoolExecutor, name: str, after: bool) -> list[str]:
    """Return what went otherwise when the operator died at every write of a story."""
    writes = Run().tell(STORIES[name]).writes.total()
    chunks = [range(first, min(first + WRITES_AT_ONCE, writes)) for first in range(0, writes, WRITES_AT_ONCE)]
    return [wrong for told in pool.map(crash, [name] * len(chunks), chunks, [after] * len(chunks)) for wrong in told]
