"""Stories of the operator itself: a leader that hangs with a write under way, and one that is started again after every write."""

from __future__ import annotations

from simulation import specs
from simulation.operate import Pass, Write
from simulation.run import Condition, Run, over, passed
from simulation.telling import GATED, Told, first_revision


def late_old_leader(run: Run) -> Told:
    """Its write arrives when its successor has decided otherwise: weight, a promotion, and the collection of an index."""
    name, index = specs.revision("B").name, specs.revision("B").index.name
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield run.hangs(_gives_five_percent)
    run.world.apply("A")
    yield _ended("Reverted")
    run.goes_on()  # before its successor has written a table: it is taken, and put right
    yield lambda run: run.world.table is not None and name not in run.world.table.weights
    yield passed(60)
    run.world.apply("B")
    yield run.hangs(_promotes)
    run.world.annotate("abort", f"{name}/1")
    yield _ended("Aborted")
    run.goes_on()
    run.world.apply("A")
    yield run.hangs(lambda _, write: write.what == f"MarkCollecting {index}")
    run.world.apply("B")
    run.world.annotate("retry", f"{name}/1")
    yield lambda run: run.world.parts[index].work != "Stop"
    run.goes_on()
    yield over


def operator_is_restarted_at_every_write(run: Run) -> Told:
    run.restarts = True
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield over


def _gives_five_percent(by: Pass, write: Write) -> bool:
    table = by.plan.table
    return write.what.startswith("table") and table is not None and table.weights.get(specs.revision("B").name) == 5


def _promotes(by: Pass, write: Write) -> bool:
    return write.what == "status" and any(note.reason == "RolloutPromoted" for note in by.plan.notes)


def _ended(how: str) -> Condition:
    return lambda run: run.record.decisions[0].what == how
