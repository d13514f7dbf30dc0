"""The stories: what people and clusters do to a rollout. Each is told once as a golden log, and under many seeds."""

from __future__ import annotations

from collections.abc import Callable, Generator

from simulation import specs
from simulation.run import Condition, Run, over, passed, phase, rested, waits_for, weight

Told = Generator[Condition, None, None]
STORIES: dict[str, Callable[[Run], Told]] = {}
GATED = specs.CANARY | specs.EVALUATION


def told(story: Callable[[Run], Told]) -> Callable[[Run], Told]:
    """Register a story."""
    STORIES[story.__name__] = story
    return story


def first_revision(run: Run) -> Told:
    run.world.apply("A", specs.CANARY)
    yield rested


@told
def happy_canary(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield over


@told
def canary_with_approval_and_live_analysis(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.APPROVED | specs.ANALYSIS)
    yield waits_for("2")
    yield passed(600)
    run.world.annotate("promote", f"{specs.revision('B').name}/2")
    yield over


@told
def blue_green(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.BLUE_GREEN | specs.EVALUATION)
    yield over


@told
def blue_green_with_approval(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.BLUE_GREEN_APPROVED)
    yield waits_for("1")
    run.world.annotate("promote", f"{specs.revision('B').name}/1")
    yield over


@told
def immediate(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.IMMEDIATE | specs.EVALUATION)
    yield over


@told
def evaluation_fails(run: Run) -> Told:
    yield from first_revision(run)
    run.world.results["C"] = "worse"
    run.world.apply("C", GATED)
    yield over


@told
def evaluation_is_inconclusive_and_somebody_promotes(run: Run) -> Told:
    yield from first_revision(run)
    run.world.results["B"] = "unclear"
    run.world.apply("B", GATED)
    yield waits_for("evaluation")
    yield passed(7200)
    run.world.annotate("promote", f"{specs.revision('B').name}/evaluation")
    yield over


@told
def question_set_cannot_be_read_and_is_mended(run: Run) -> Told:
    yield from first_revision(run)
    run.world.results["B"] = "unreadable"
    run.world.apply("B", GATED)
    yield waits_for("evaluation")
    run.world.results["B"] = "better"
    run.world.annotate("retry", f"{specs.revision('B').name}/1")
    yield over


@told
def live_traffic_fails(run: Run) -> Told:
    yield from first_revision(run)
    run.world.troubled.add("B")
    run.world.apply("B", specs.CANARY | specs.ANALYSIS)
    yield over


@told
def live_traffic_cannot_be_read(run: Run) -> Told:
    yield from first_revision(run)
    run.world.metrics_readable = False
    run.world.apply("B", specs.CANARY | specs.ANALYSIS)
    yield waits_for("analysis")
    run.world.annotate("promote", f"{specs.revision('B').name}/analysis")
    yield weight("B", 50)
    run.world.annotate("promote-full", f"{specs.revision('B').name}/1")
    yield over


@told
def spec_changes_to_c(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 50)
    run.world.apply("C")
    yield over


@told
def back_to_a_and_again_to_b(run: Run) -> Told:
    yield from back_at(run, weight("B", 5))


def back_at(run: Run, when: Condition) -> Told:
    """The spec goes back to A when something is reached, and a minute later to B again."""
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield when
    run.world.apply("A")
    yield passed(60)
    run.world.apply("B")
    yield over


@told
def rollback_and_forward_again(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield rested
    run.world.annotate("rollback", f"{specs.revision('A').name}/1")
    yield rested
    run.world.annotate("retry", f"{specs.revision('B').name}/1")
    yield over


@told
def back_to_a_retired_revision(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield rested
    run.world.apply("A")
    yield over


@told
def somebody_aborts_and_retries(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    run.world.annotate("abort", specs.revision("B").name)
    yield rested
    run.world.annotate("retry", specs.revision("B").name)
    yield over


@told
def somebody_aborts_after_half_an_hour_at_half(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.HALF)
    yield waits_for("2")
    yield passed(1800)
    run.world.annotate("abort", specs.revision("B").name)
    yield over


@told
def candidate_dies_under_weight(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.HALF)
    yield waits_for("2")
    part = run.world.parts[specs.revision("B").embedder.name]
    part.pods, part.hurt = 0, True
    run.world.say("the pods of B-embedder die")
    run.world.touch(part)
    yield passed(300)
    part.hurt = False
    run.world.scale(part)
    yield weight("B", 50)
    run.world.annotate("promote", f"{specs.revision('B').name}/2")
    yield over


@told
def gateway_does_not_acknowledge(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield phase("B", "CatchingUp")
    run.world.gateways[1].deaf = True
    run.world.say("gateway-1 can no longer be reached")
    yield passed(1800)
    run.world.say("gateway-1 can be reached again")
    run.world.hear_again(run.world.gateways[1])
    yield over


@told
def gateway_holds_what_is_aborted(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 50)
    run.world.gateways[1].deaf = True
    run.world.say("gateway-1 can no longer be reached")
    run.world.apply("A")
    yield passed(1800)
    run.world.say("gateway-1 can be reached again")
    run.world.hear_again(run.world.gateways[1])
    yield over


@told
def stable_child_is_deleted(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    name = specs.revision("A").embedder.name
    run.world.deleted.add(name)
    del run.world.parts[name]
    run.world.say(f"somebody deletes {name}")
    run.world.wake()
    yield over


@told
def no_gpu(run: Run) -> Told:
    yield from first_revision(run)
    run.world.unplaceable.add("B")
    run.world.apply("B", GATED)
    yield over


@told
def build_fails_twice(run: Run) -> Told:
    yield from first_revision(run)
    run.world.failing_builds["B"] = 2
    run.world.apply("B", GATED)
    yield over


@told
def build_fails_for_good(run: Run) -> Told:
    yield from first_revision(run)
    run.world.failing_builds["B"] = 3
    run.world.apply("B", GATED)
    yield over


@told
def suspended_for_a_day(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield phase("B", "Indexing")
    run.world.apply("B", suspend=True)
    yield passed(24 * 3600)
    run.world.apply("B")
    yield over


@told
def clock_is_set_back_and_forth(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    run.world.say("the operator's clock is set back by two hours")
    run.world.skew = -7200.0
    yield weight("B", 50)
    run.world.say("the operator's clock is set right")
    run.world.skew = 0.0
    run.wake()
    yield over


@told
def passages_change(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("Q", GATED)
    yield over


@told
def status_is_lost(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    run.world.status, run.world.status_version = {}, run.world.status_version + 1
    run.invariants.record = run.record
    run.world.say("status is lost")
    run.wake()
    yield over


@told
def restored_without_records(run: Run) -> Told:
    yield from first_revision(run)
    world = run.world
    world.status, world.status_version, world.table, world.revisions = {}, world.status_version + 1, None, {}
    world.tables, world.adopted = {0: {}}, (specs.revision("A").index.name,)
    for gateway in world.gateways:
        gateway.served, gateway.streams = 0, []
    run.invariants.record, run.invariants.table, run.invariants.epoch = run.record, {}, 0
    world.say("restored from a backup without status, records and routing table")
    run.wake()
    yield waits_for("adoption")
    yield rested
    world.annotate("promote", f"{specs.revision('A').name}/adoption")
    yield over


@told
def reindex(run: Run) -> Told:
    yield from first_revision(run)
    run.world.names |= {specs.revision("A", "1").name: "A′", specs.revision("A", "1").index.name: "A′-index"}
    run.world.annotate("reindex", "1")
    yield over
