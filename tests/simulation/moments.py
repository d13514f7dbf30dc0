"""Stories that turn round at every step of a rollout: back to A and again to B, or on to C, each from a moment of B's rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulation import specs
from simulation.run import Condition, Run, over, passed, phase, weight
from simulation.telling import GATED, Story, Told, first_revision

ASKING = specs.HALF | specs.EVALUATION  # its first weight needs more pods than the candidate begins with, and then it asks


@dataclass(frozen=True)
class Moment:
    """When somebody turns round, and how the rollouts of that story are stepped."""

    when: Condition
    policy: dict[str, Any]


def waits(letter: str, what: str) -> Condition:
    """A certain candidate waits for an approval."""
    return lambda run: (
        (rollout := run.record.rollout) is not None and (rollout.candidate, rollout.waiting_for) == (specs.revision(letter).name, what)
    )


def _pauses(run: Run) -> bool:
    rollout = run.record.rollout
    return rollout is not None and rollout.paused and rollout.weight == 5


MOMENTS: dict[str, Moment] = {
    "while_provisioning": Moment(phase("B", "Provisioning"), GATED),
    "while_indexing": Moment(phase("B", "Indexing"), GATED),
    "while_catching_up": Moment(phase("B", "CatchingUp"), GATED),
    "while_evaluating": Moment(phase("B", "Evaluating"), GATED),
    "while_warming_up": Moment(phase("B", "WarmingUp"), ASKING),
    "at_5_percent": Moment(weight("B", 5), GATED),
    "in_a_pause": Moment(_pauses, GATED),
    "at_50_percent": Moment(weight("B", 50), GATED),
    "in_an_open_pause": Moment(waits("B", "2"), ASKING),
}


def _back(name: str, moment: Moment) -> Story:
    def story(run: Run) -> Told:
        yield from _until(run, moment)
        run.world.apply("A")
        yield passed(60)
        yield lambda run: run.record.rollout is None
        run.world.apply("B")
        yield from _to_the_end(run, "B", moment)

    story.__name__ = f"back_to_a_and_again_to_b_{name}"
    return story


def _on(name: str, moment: Moment) -> Story:
    def story(run: Run) -> Told:
        yield from _until(run, moment)
        run.world.apply("C")
        yield from _to_the_end(run, "C", moment)

    story.__name__ = f"spec_changes_to_c_{name}"
    return story


def _until(run: Run, moment: Moment) -> Told:
    yield from first_revision(run)
    run.world.apply("B", moment.policy)
    yield moment.when


def _to_the_end(run: Run, letter: str, moment: Moment) -> Told:
    if moment.policy is ASKING:
        yield waits(letter, "2")
        run.world.annotate("promote", f"{specs.revision(letter).name}/2")
    yield over


# What `people` tells by itself is not told twice.
BACK: tuple[Story, ...] = tuple(_back(name, moment) for name, moment in MOMENTS.items() if name != "at_5_percent")
ON: tuple[Story, ...] = tuple(_on(name, moment) for name, moment in MOMENTS.items() if name != "at_50_percent")
