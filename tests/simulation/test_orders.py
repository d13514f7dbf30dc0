"""Every story under random delays, lost writes, crashes, late leaders and healing faults: same ending, no invariant broken."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from simulation.run import Condition, Run, phase, weight
from simulation.stories import back_at
from simulation.test_stories import STORIES

ORDERS = 2000 if os.environ.get("RAG_CAMPAIGN") else 200
BACK_AT: dict[str, Condition] = {
    "while it is provisioned": phase("B", "Provisioning"),
    "while it is indexed": phase("B", "Indexing"),
    "while it catches up": phase("B", "CatchingUp"),
    "while it is evaluated": phase("B", "Evaluating"),
    "at 5 %": weight("B", 5),
    "at 50 %": weight("B", 50),
}


def _endings(run: Run) -> list[tuple[str, str]]:
    return [(decision.what, decision.revision) for decision in run.record.decisions]


@pytest.mark.parametrize("name", STORIES)
def test_the_story_ends_the_same_in_every_order(name: str) -> None:
    undisturbed = _endings(Run().tell(STORIES[name]))
    for seed in range(ORDERS):
        run = Run(seed).tell(STORIES[name])
        assert _endings(run) == undisturbed, f"seed {seed}\n" + "\n".join(run.world.lines)


@pytest.mark.parametrize("when", BACK_AT)
def test_the_spec_may_go_back_to_a_and_again_to_b(when: str) -> None:
    def story(run: Run) -> Generator[Condition, None, None]:
        yield from back_at(run, BACK_AT[when])

    for seed in (None, *range(ORDERS // 8)):
        run = Run(seed).tell(story)
        assert [what for what, _ in _endings(run)] == ["Promoted", "Reverted", "Promoted"], f"seed {seed}\n" + "\n".join(run.world.lines)
