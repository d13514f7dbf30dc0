"""Stories of clusters: what dies, hangs, is lost or runs out while a rollout is under way."""

from __future__ import annotations

from simulation import specs
from simulation.run import Run, over, passed, phase, rested, waits_for, weight
from simulation.telling import GATED, Told, approved, first_revision, go_back, lose_status


def candidate_dies_under_weight(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", specs.HALF)
    yield waits_for("2")
    part = run.world.parts[specs.revision("B").embedder.name]
    part.die()
    run.world.say("the pods of B-embedder die")
    run.world.touch(part)
    yield passed(300)
    part.hurt = False
    run.world.scale(part)
    yield weight("B", 50)
    yield waits_for("2")
    run.world.annotate("promote", f"{specs.revision('B').name}/2")
    yield over


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


def no_gpu(run: Run) -> Told:
    yield from first_revision(run)
    run.world.unplaceable.add("B")
    run.world.apply("B", GATED)
    yield over


def build_fails_twice(run: Run) -> Told:
    yield from first_revision(run)
    run.world.failing_builds["B"] = 2
    run.world.apply("B", GATED)
    yield over


def build_fails_for_good(run: Run) -> Told:
    yield from first_revision(run)
    run.world.failing_builds["B"] = 3
    run.world.apply("B", GATED)
    yield over


def evaluation_result_is_lost(run: Run) -> Told:
    yield from first_revision(run)
    run.world.results["B"] = "lost"
    run.world.apply("B", GATED)
    yield over


def embedder_has_other_weights(run: Run) -> Told:
    yield from first_revision(run)
    run.world.foreign.add("W")
    run.world.apply("W", specs.BLUE_GREEN)
    yield over
    run.world.apply("A")
    yield over


def weights_change_after_promotion(run: Run) -> Told:
    yield from first_revision(run)
    yield from approved(run, "W")
    yield rested
    run.world.foreign.add("W")
    run.world.say("the weights of W-embedder change under their name")
    run.world.touch(run.world.parts[specs.revision("W").index.name])
    yield passed(60)
    go_back(run)
    yield over


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


def routing_table_is_deleted(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    yield passed(300)
    run.world.table = None
    for gateway in run.world.gateways:
        gateway.served, gateway.streams = 0, []
    run.world.say("somebody deletes the routing table, and every gateway begins anew")
    run.wake()
    yield over


def status_is_lost(run: Run) -> Told:
    yield from first_revision(run)
    run.world.apply("B", GATED)
    yield weight("B", 5)
    lose_status(run)
    yield over


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
