"""The simulation is worth what it catches: the planner is broken in one place at a time, and some story must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rag_operator.model.plan import Collect, Keep, Note, Plan
from rag_operator.rollout import advance, collect, endings, planner, traffic, triggers
from simulation.accidents import candidate_dies_under_weight, gateway_holds_what_is_aborted, restored_without_records
from simulation.invariants import BrokenError
from simulation.operate import Planner
from simulation.people import (
    evaluation_fails,
    happy_canary,
    rollback_and_forward_again,
    somebody_aborts_after_half_an_hour_at_half,
    somebody_aborts_and_retries,
    spec_changes_to_c,
)
from simulation.run import Run, Story

Patch = pytest.MonkeyPatch
SEEDS = (None, *range(60))


def _weight_without_readiness(patch: Patch) -> None:
    patch.setattr(traffic, "candidate_weight", lambda situation, record: record.rollout.weight if record.rollout else 0)
    patch.setattr(traffic, "_worsens", lambda *args: False)


def _weights_of_99(patch: Patch) -> None:
    whole = traffic.weights
    patch.setattr(traffic, "weights", lambda *args: {name: min(weight, 99) for name, weight in whole(*args).items()})


def _no_waiting_for_gateways(patch: Patch) -> None:
    patch.setattr(collect, "holding", lambda observed: ())


def _terminating_gateways_forgotten(patch: Patch) -> None:
    def holding(observed: Any) -> tuple[str, ...]:
        return traffic.holding(replace(observed, gateways=tuple(pod for pod in observed.gateways if not pod.terminating and pod.reachable)))

    patch.setattr(collect, "holding", holding)


def _collect_beside_a_new_table(patch: Patch) -> None:
    act = planner._act

    def hasty(situation: Any, record: Any, *rest: Any) -> Plan:
        planned = act(situation, record, *rest)
        gone = list(collect._unneeded(situation, [keep.revision for keep in planned.keep]))
        return replace(planned, collect=tuple(collect._step(part) for part in gone))

    patch.setattr(planner, "_act", hasty)
    patch.setattr(triggers, "left", lambda *args: True)


def _drop_without_marking(patch: Patch) -> None:
    patch.setattr(collect, "_step", lambda part: Collect(part.name, part.kind, "Drop" if part.kind == "index" else "Delete", ""))


def _writers_go_on(patch: Patch) -> None:
    step = collect._step
    patch.setattr(collect, "_step", lambda part: step(replace(part, stopped=True)))


def _no_warming_up(patch: Patch) -> None:
    patch.setattr(advance, "STATIONS", tuple(station for station in advance.STATIONS if station is not advance._warm_up))


def _stable_may_shrink(patch: Patch) -> None:
    patch.setattr(planner, "_stable", lambda situation, record: Keep(record.stable, "stable") if record.stable else None)


def _stable_shrinks_when_traffic_arrives(patch: Patch) -> None:
    patch.setattr(planner, "_settled", lambda *args: None)


def _idle_before_routed_away(patch: Patch) -> None:
    patch.setattr(planner, "_present", lambda *args: False)


def _rejected_is_tried_again(patch: Patch) -> None:
    changed = triggers.changed
    patch.setattr(triggers, "changed", lambda situation, record: changed(situation, replace(record, rejected=())))


def _ended_without_history(patch: Patch) -> None:
    ended = endings._ended

    def silent(situation: Any, record: Any, *rest: Any, **named: Any) -> Any:
        return replace(ended(situation, record, *rest, **named), record=record)

    patch.setattr(endings, "_ended", silent)


def _promoted_without_steps(patch: Patch) -> None:
    kept = (advance._follow_policy, advance._not_broken, advance._prepare, advance._ready, advance._first)
    patch.setattr(advance, "STATIONS", kept)


def _lost_record_promoted(patch: Patch) -> None:
    patch.setattr(advance, "approval", lambda *args: True)


def _never_quiet(patch: Patch) -> None:
    act = planner._act
    patch.setattr(planner, "_act", lambda *args: replace(act(*args), notes=(Note("StillHere", ""),)))


MUTANTS: dict[str, tuple[Callable[[Patch], None], tuple[Story, ...]]] = {
    "weight for a revision that is not ready": (_weight_without_readiness, (candidate_dies_under_weight,)),
    "weights that do not sum to 100": (_weights_of_99, (happy_canary,)),
    "collecting without waiting for gateways": (_no_waiting_for_gateways, (spec_changes_to_c, gateway_holds_what_is_aborted)),
    "collecting with a gateway out of reach": (_terminating_gateways_forgotten, (spec_changes_to_c, gateway_holds_what_is_aborted)),
    "collecting while the table is written": (_collect_beside_a_new_table, (spec_changes_to_c,)),
    "dropping without marking": (_drop_without_marking, (spec_changes_to_c,)),
    "marking while indexers write": (_writers_go_on, (spec_changes_to_c,)),
    "weight without warming up": (_no_warming_up, (happy_canary,)),
    "stable shrinks while the candidate has traffic": (_stable_may_shrink, (somebody_aborts_after_half_an_hour_at_half,)),
    "stable shrinks when all the traffic comes to it": (_stable_shrinks_when_traffic_arrives, (happy_canary,)),
    "idle before every gateway has acknowledged": (_idle_before_routed_away, (gateway_holds_what_is_aborted, rollback_and_forward_again)),
    "a rejected revision is tried again": (_rejected_is_tried_again, (evaluation_fails, somebody_aborts_and_retries)),
    "an ending without history": (_ended_without_history, (happy_canary,)),
    "promoted without steps": (_promoted_without_steps, (happy_canary,)),
    "a lost record is promoted": (_lost_record_promoted, (restored_without_records,)),
    "never at rest": (_never_quiet, (happy_canary,)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_planner_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks, told = MUTANTS[mutant]
    breaks(monkeypatch)
    caught = _caught(planner.plan, told)
    assert caught, "no story noticed"


def _caught(broken: Planner, told: tuple[Story, ...]) -> str:
    for story in told:
        for seed in SEEDS:
            try:
                Run(seed, planner=broken).tell(story)
            except BrokenError as error:
                return str(error).splitlines()[-1]
    return ""


def test_the_same_stories_pass_with_the_planner_as_it_is() -> None:
    told = {story for _, stories in MUTANTS.values() for story in stories}
    for story in told:
        Run(1).tell(story)
