"""How a story is told: steps of people and clusters, and what is waited for between them."""

from __future__ import annotations

from collections.abc import Callable, Generator

from simulation import specs
from simulation.run import Condition, Run, rested

Told = Generator[Condition, None, None]
Story = Callable[[Run], Told]
GATED = specs.CANARY | specs.EVALUATION


def first_revision(run: Run) -> Told:
    """Every story begins with a revision that serves."""
    run.world.apply("A", specs.CANARY)
    yield rested
