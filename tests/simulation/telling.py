"""How a story is told: steps of people and clusters, and what is waited for between them."""

from __future__ import annotations

from collections.abc import Callable, Generator

from simulation import specs
from simulation.run import Condition, Run, rested, waits_for

Told = Generator[Condition, None, None]
Story = Callable[[Run], Told]
GATED = specs.CANARY | specs.EVALUATION


def first_revision(run: Run) -> Told:
    """Every story begins with a revision that serves."""
    run.world.apply("A", specs.CANARY)
    yield rested


def approved(run: Run, letter: str) -> Told:
    """A blue-green rollout asks for approval, and somebody gives it."""
    run.world.apply(letter, specs.BLUE_GREEN_APPROVED)
    yield waits_for("1")
    run.world.annotate("promote", f"{specs.revision(letter).name}/1")


def go_back(run: Run, nonce: int = 1) -> None:
    """Somebody asks for A again."""
    run.world.annotate("rollback", f"{specs.revision('A').name}/{nonce}")


def lose_status(run: Run) -> None:
    """Somebody empties the status."""
    run.world.status, run.world.status_version = {}, run.world.status_version + 1
    run.invariants.record = run.record
    run.world.say("status is lost")
    run.wake()
