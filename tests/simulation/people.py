"""Stories of people: what they apply, approve, abort and take back."""

from __future__ import annotations

from simulation import specs
from simulation.run import Run, over, passed, phase, rested, waits_for, weight
from simulation.telling import GATED, Told, approved, first_revision, go_back


def happy_canary(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield over


def canary_with_approval_and_live_analysis(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.APPROVED | specs.ANALYSIS)
    yield waits_for("2")
    yield passed(600)
    yield waits_for("2")
    run.world.annotate("promote", f"{specs.revision('B').name}/2")
    yield over


def blue_green(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.BLUE_GREEN | specs.EVALUATION)
    yield over


def blue_green_with_approval(run: Run) -> Told:
    yield from first_revision(run)
    yield from approved(run, "B")
    yield over


def immediate(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.IMMEDIATE | specs.EVALUATION)
    yield over


def evaluation_fails(run: Run) -> Told:
    yield from first_revision(run)
    run.world.results["C"] = "worse"
    run.world.apply("C", GATED)
    yield over


def evaluation_is_inconclusive_and_somebody_promotes(run: Run) -> Told:
    yield from first_revision(run)
    run.world.results["B"] = "unclear"
    run.world.apply("B", GATED)
    yield waits_for("evaluation")
    yield passed(7200)
    yield waits_for("evaluation")
    run.world.annotate("promote", f"{specs.revision('B').name}/evaluation")
    yield over


def question_set_cannot_be_read_and_is_mended(run: Run) -> Told:
    yield from first_revision(run)
    run.world.results["B"] = "unreadable"
    run.world.apply("B", GATED)
    yield waits_for("evaluation")
    run.world.results["B"] = "better"
    run.world.annotate("retry", f"{specs.revision('B').name}/1")
    yield over


def live_traffic_fails(run: Run) -> Told:
    yield from first_revision(run)
    run.world.troubled.add("B")
    run.world.apply("B", specs.CANARY | specs.ANALYSIS)
    yield over


def live_traffic_cannot_be_read(run: Run) -> Told:
    yield from first_revision(run)
    run.world.metrics_readable = False
    run.world.apply("B", specs.CANARY | specs.ANALYSIS)
    yield waits_for("analysis")
    run.world.annotate("promote", f"{specs.revision('B').name}/analysis")
    yield weight("B", 50)
    run.world.annotate("promote-full", f"{specs.revision('B').name}/1")
    yield over


def spec_changes_to_c(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 50)
    run.world.apply("C")
    yield over


def back_to_a_and_again_to_b(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    run.world.apply("A")
    yield passed(60)
    run.world.apply("B")
    yield over


def rollback_and_forward_again(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield rested
    go_back(run)
    yield rested
    run.world.annotate("retry", f"{specs.revision('B').name}/1")
    yield over


def rollback_while_c_is_rolled_out(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield rested
    run.world.apply("C")
    yield weight("C", 50)
    go_back(run)
    yield over


def rollback_to_a_while_it_is_rolled_out_again(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield rested
    run.world.apply("A")
    yield weight("A", 5)
    go_back(run)
    yield over


def back_to_a_retired_revision(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield rested
    run.world.apply("A")
    yield over


def somebody_aborts_and_retries(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    run.world.annotate("abort", specs.revision("B").name)
    yield rested
    run.world.annotate("retry", specs.revision("B").name)
    yield over


def somebody_aborts_after_half_an_hour_at_half(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.HALF)
    yield waits_for("2")
    yield passed(1800)
    run.world.annotate("abort", specs.revision("B").name)
    yield over


def suspended_for_a_day(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield phase("B", "Indexing")
    run.world.apply("B", suspend=True)
    yield passed(24 * 3600)
    run.world.apply("B")
    yield over


def suspended_at_half_for_a_day(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.HALF)
    yield waits_for("2")
    run.world.apply("B", suspend=True)
    yield passed(24 * 3600)
    run.world.apply("B")
    yield passed(60)
    yield waits_for("2")
    run.world.annotate("promote", f"{specs.revision('B').name}/2")
    yield over


def passages_change(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("Q", GATED)
    yield over


def reindex(run: Run) -> Told:
    yield from first_revision(run)
    run.world.names |= {specs.revision("A", "1").name: "A′", specs.revision("A", "1").index.name: "A′-index"}
    run.world.annotate("reindex", "1")
    yield over
