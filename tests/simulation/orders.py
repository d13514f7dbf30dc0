"""Tells one story under many seeds, on every processor."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from simulation.run import Run, Story
from simulation.stories import STORIES

SEEDS_AT_ONCE = 10


def endings(run: Run) -> list[tuple[str, str]]:
    """Return how the rollouts ended, the last one first."""
    return [(decision.what, decision.revision) for decision in run.record.decisions]


def tell(name: str, seeds: range) -> list[str]:
    """Return what went wrong under these seeds."""
    story = STORIES[name]
    expected = endings(Run().tell(story))
    gc.collect()  # once for some stories, not all the time: a sixth of the time
    return [wrong for seed in seeds if (wrong := _told(story, seed, expected))]


def _told(story: Story, seed: int, expected: list[tuple[str, str]]) -> str:
    try:
        run = Run(seed).tell(story)
    except AssertionError as error:
        return f"seed {seed}\n{error}"
    return "" if endings(run) == expected else f"seed {seed} ends otherwise\n" + "\n".join(run.world.lines)


@contextmanager
def processors() -> Iterator[ProcessPoolExecutor]:
    """Yield a process for every processor."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"), initializer=gc.disable) as pool:
        yield pool


def tell_all(pool: ProcessPoolExecutor, name: str, orders: int) -> list[str]:
    """Return what went wrong under the seeds 0 to `orders` - 1."""
    chunks = [range(first, min(first + SEEDS_AT_ONCE, orders)) for first in range(0, orders, SEEDS_AT_ONCE)]
    return [wrong for told in pool.map(tell, [name] * len(chunks), chunks) for wrong in told]
