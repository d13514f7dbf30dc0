"""Every story under random delays, lost writes, crashes, late leaders and healing faults: same ending, no invariant broken."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from simulation import moments
from simulation.orders import endings, tell_all
from simulation.run import Run, Story
from simulation.stories import STORIES

ORDERS = 2000 if os.environ.get("RAG_CAMPAIGN") else 200


@pytest.mark.parametrize("name", STORIES)
def test_the_story_ends_the_same_in_every_order(name: str, pool: ProcessPoolExecutor) -> None:
    wrong = tell_all(pool, name, ORDERS)
    assert not wrong, wrong[0]


@pytest.mark.parametrize("story", moments.BACK, ids=lambda story: story.__name__)
def test_back_to_a_reverts_at_every_step(story: Story) -> None:
    assert [what for what, _ in endings(Run().tell(story))] == ["Promoted", "Reverted", "Promoted"]


@pytest.mark.parametrize("story", moments.ON, ids=lambda story: story.__name__)
def test_another_spec_supersedes_at_every_step(story: Story) -> None:
    assert [what for what, _ in endings(Run().tell(story))] == ["Promoted", "Superseded", "Promoted"]
