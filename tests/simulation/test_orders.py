"""Every story under random delays, lost writes, crashes, late leaders and healing faults: same ending, no invariant broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from simulation.orders import BACK_AT, endings, processors, story_of, tell_all
from simulation.run import Run
from simulation.stories import STORIES

ORDERS = 2000 if os.environ.get("RAG_CAMPAIGN") else 200


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with processors() as started:
        yield started


@pytest.mark.parametrize("name", STORIES)
def test_the_story_ends_the_same_in_every_order(name: str, pool: ProcessPoolExecutor) -> None:
    wrong = tell_all(pool, name, ORDERS)
    assert not wrong, wrong[0]


@pytest.mark.parametrize("name", BACK_AT)
def test_the_spec_may_go_back_to_a_and_again_to_b(name: str, pool: ProcessPoolExecutor) -> None:
    assert [what for what, _ in endings(Run().tell(story_of(name)))] == ["Promoted", "Reverted", "Promoted"]
    wrong = tell_all(pool, name, ORDERS // 8)
    assert not wrong, wrong[0]
