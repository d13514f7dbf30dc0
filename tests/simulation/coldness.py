"""Stories of a cold rollback window: what is kept is out of memory, and going back takes a build-up."""

from __future__ import annotations

from simulation import specs
from simulation.run import Run, over, passed, phase, rested
from simulation.telling import GATED, Told, first_revision, go_back, lose_status

COLD = GATED | specs.COLD


def cold_window(run: Run) -> Told:
    """B took the place of A, which is cold."""
    yield from first_revision(run)
    run.world.apply("B", COLD)
    yield cold


def cold(run: Run) -> bool:
    """The index of A is out of memory, and nothing is under way."""
    part = run.world.parts.get(specs.revision("A").index.name)
    return part is not None and part.cold and rested(run)


def cold_rollback(run: Run) -> Told:
    yield from cold_window(run)
    go_back(run)
    yield rested
    run.world.annotate("retry", f"{specs.revision('B').name}/1")
    yield over


def cold_rollback_from_a_candidate(run: Run) -> Told:
    yield from cold_window(run)
    run.world.apply("C")
    yield phase("C", "Indexing")
    go_back(run)
    yield over


def cold_rollback_is_aborted(run: Run) -> Told:
    yield from cold_window(run)
    go_back(run)
    yield going_back
    run.world.annotate("abort", f"{specs.revision('A').name}/1")
    yield cold
    go_back(run, 2)
    yield over


def cold_rollback_makes_no_progress(run: Run) -> Told:
    yield from cold_window(run)
    part = run.world.parts[specs.revision("A").embedder.name]
    part.message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    go_back(run)
    yield over


def cold_window_closes(run: Run) -> Told:
    yield from cold_window(run)
    yield over


def cold_window_closes_on_the_way_back(run: Run) -> Told:
    yield from cold_window(run)
    run.world.at(run.record.retired.until - 30.0 if run.record.retired else 0.0, lambda: go_back(run))
    yield over


def back_to_a_cold_revision(run: Run) -> Told:
    yield from cold_window(run)
    run.world.apply("A")
    yield over


def cold_status_is_lost(run: Run) -> Told:
    yield from cold_window(run)
    lose_status(run)
    yield cold
    go_back(run)
    yield over


def cold_status_is_lost_on_the_way_back(run: Run) -> Told:
    yield from cold_window(run)
    go_back(run)
    yield loaded_and_in_no_table
    lose_status(run)
    yield cold
    go_back(run, 2)
    yield over


def cold_window_turns_hot_and_cold(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield rested
    run.world.apply("B", COLD)
    yield cold
    run.world.apply("B", GATED)
    yield passed(600)
    yield rested
    run.world.apply("B", COLD)
    yield over


def going_back(run: Run) -> bool:
    """A is on its way back, and has begun to stand."""
    rollout = run.record.rollout
    return rollout is not None and rollout.back and rollout.phase in ("Provisioning", "CatchingUp")


def loaded_and_in_no_table(run: Run) -> bool:
    """The index of A is in memory again, and no gateway knows of A yet."""
    part, table = run.world.parts[specs.revision("A").index.name], run.world.table
    return part.woken and part.loaded and table is not None and specs.revision("A").name not in table.weights
