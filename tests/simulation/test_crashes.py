"""The operator dies at every single write, before it and after it: the rollout ends as if nothing had happened.

To die after a write is to die before the next one of the same pass, so most stories are told with the one only; the campaign tells
all of them with both, and those too that turn round at every step.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from simulation import moments, people
from simulation.crashes import crash_everywhere
from simulation.run import Run
from simulation.stories import STORIES

CAMPAIGN = bool(os.environ.get("RAG_CAMPAIGN"))
AGAIN = {story.__name__ for story in (*moments.BACK, *moments.ON)}  # as many writes as other stories, at other times
TOLD = [name for name in STORIES if CAMPAIGN or name not in AGAIN]
BOTH = (people.happy_canary, people.evaluation_fails, people.back_to_a_and_again_to_b, people.rollback_and_forward_again)


@pytest.mark.parametrize("name", TOLD)
def test_a_crash_after_every_write_changes_nothing(name: str, pool: ProcessPoolExecutor) -> None:
    wrong = crash_everywhere(pool, name, after=True)
    assert not wrong, wrong[0]


@pytest.mark.parametrize("name", TOLD if CAMPAIGN else [story.__name__ for story in BOTH])
def test_a_crash_before_every_write_changes_nothing(name: str, pool: ProcessPoolExecutor) -> None:
    assert Run().tell(STORIES[name]).writes.total() > 25
    wrong = crash_everywhere(pool, name, after=False)
    assert not wrong, wrong[0]
