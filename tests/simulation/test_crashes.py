"""The operator dies at every single write, before it and after it: the rollout ends as if nothing had happened."""

from __future__ import annotations

import pytest

from simulation import people
from simulation.run import Crash, Run, Story

TOLD = (people.happy_canary, people.evaluation_fails, people.back_to_a_and_again_to_b, people.rollback_and_forward_again)


@pytest.mark.parametrize("story", TOLD, ids=lambda story: story.__name__)
@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_crash_at_every_write_changes_nothing(story: Story, after: bool) -> None:
    undisturbed = Run().tell(story)
    assert undisturbed.writes.total() > 25
    for write in range(undisturbed.writes.total()):
        run = Run(crash=Crash(write, after)).tell(story)
        assert _end(run) == _end(undisturbed), f"crash at write {write}\n" + "\n".join(run.world.lines)


def _end(run: Run) -> tuple[object, ...]:
    world, record = run.world, run.record
    endings = [(decision.what, decision.revision) for decision in record.decisions]
    weights = dict(world.table.weights) if world.table else {}
    return (endings, record.stable, record.rejected, weights, sorted(world.parts), sorted(world.revisions))
