"""Tells one story under many seeds, on every processor."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from simulation.people import back_at
from simulation.run import Condition, Run, Story, phase, weight
from simulation.stories import STORIES

SEEDS_AT_ONCE = 10
BACK_AT: dict[str, Condition] = {
    "while it is provisioned": phase("B", "Provisioning"),
    "while it is indexed": phase("B", "Indexing"),
    "while it catches up": phase("B", "CatchingUp"),
    "while it is evaluated": phase("B", "Evaluating"),
    "at 5 %": weight("B", 5),
    "at 50 %": weight("B", 50),
}


def story_of(name: str) -> Story:
    """Return a story by its name; a name of `BACK_AT` is the story that goes back then."""
    if name in STORIES:
        return STORIES[name]

    def story(run: Run) -> Generator[Condition, None, None]:
        yield from back_at(run, BACK_AT[name])

    return story


def endings(run: Run) -> list[tuple[str, str]]:
    """Return how the rollouts ended, the last one first."""
    return [(decision.what, decision.revision) for decision in run.record.decisions]


def tell(name: str, seeds: range) -> list[str]:
    """Return what went wrong under these seeds."""
    story = story_of(name)
    expected = endings(Run().tell(story))
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
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        yield pool


def tell_all(pool: ProcessPoolExecutor, name: str, orders: int) -> list[str]:
    """Return what went wrong under the seeds 0 to `orders` - 1."""
    chunks = [range(first, min(first + SEEDS_AT_ONCE, orders)) for first in range(0, orders, SEEDS_AT_ONCE)]
    return [wrong for told in pool.map(tell, [name] * len(chunks), chunks) for wrong in told]
