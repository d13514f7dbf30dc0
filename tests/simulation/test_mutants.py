"""The simulation is worth what it catches: every invariant is broken at least once, and must catch that by its own words."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from rag_operator.model.plan import Collect, Keep, Note, Plan
from rag_operator.rollout import advance, collect, endings, planner, traffic, triggers
from simulation import breaks, invariants
from simulation.accidents import candidate_dies_under_weight, gateway_holds_what_is_aborted, restored_without_records, status_is_lost
from simulation.coldness import back_to_a_cold_revision, cold_rollback
from simulation.invariants import BrokenError
from simulation.operate import Planner
from simulation.people import (
    blue_green_with_approval,
    happy_canary,
    rollback_and_forward_again,
    rollback_while_c_is_rolled_out,
    somebody_aborts_after_half_an_hour_at_half,
    somebody_aborts_and_retries,
    spec_changes_to_c,
    suspended_at_half_for_a_day,
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
    patch.setattr(traffic, "lacking", lambda *args: None)


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


# Each is broken in one place and must be caught by the words of the invariant that it breaks, not by just any of them.
MUTANTS: dict[str, tuple[Callable[[Patch], None], tuple[Story, ...], str]] = {
    "weight for a revision that died": (
        _weight_without_readiness,
        (candidate_dies_under_weight,),
        "revision * keeps 50 % and is not ready",
    ),
    "weight before anything is ready": (breaks.weight_before_anything_is_ready, (happy_canary,), "revision * gets 100 % and is not ready"),
    "weights that do not sum to 100": (_weights_of_99, (happy_canary,), "weights sum to 99"),
    "epochs counted in status alone": (
        breaks.epochs_counted_in_status_alone,
        (status_is_lost,),
        "the table's epoch did not rise: * after *",
    ),
    "collecting without waiting for gateways": (
        _no_waiting_for_gateways,
        (spec_changes_to_c, gateway_holds_what_is_aborted),
        "revision * is in use and its embedder was collected",
    ),
    "collecting with a gateway out of reach": (
        _terminating_gateways_forgotten,
        (spec_changes_to_c, gateway_holds_what_is_aborted),
        "revision * is in use and its embedder was collected",
    ),
    "collecting while the table is written": (
        _collect_beside_a_new_table,
        (spec_changes_to_c,),
        "revision * is in use and its embedder was collected",
    ),
    "collecting indexes without waiting for gateways": (
        breaks.indexes_do_not_wait,
        (spec_changes_to_c,),
        "revision * is in use and its index is gone, going or another one",
    ),
    "forgetting what gateways still use": (breaks.records_go_first, (spec_changes_to_c,), "revision * is in use and has no record"),
    "dropping without marking": (_drop_without_marking, (spec_changes_to_c,), "* is dropped before it is marked"),
    "marking while indexers write": (_writers_go_on, (spec_changes_to_c,), "* is collected while indexers write to it"),
    "weight without warming up": (_no_warming_up, (happy_canary,), "revision * gets 50 % with 1 pods, it needs 2"),
    "stable shrinks while the candidate has traffic": (
        _stable_may_shrink,
        (somebody_aborts_after_half_an_hour_at_half,),
        "revision * gets 100 % with 2 pods, it needs 4",
    ),
    "stable shrinks when all the traffic comes to it": (
        _stable_shrinks_when_traffic_arrives,
        (happy_canary,),
        "* shrinks from * to * pods under traffic that came just now",
    ),
    "replicas set against the autoscaler": (
        breaks.replicas_set_with_the_floor,
        (happy_canary,),
        "revision * answers with 1 pods, its load needs 4",
    ),
    "idle before every gateway has acknowledged": (
        _idle_before_routed_away,
        (gateway_holds_what_is_aborted, rollback_and_forward_again),
        "revision * is in use and its embedder is idle",
    ),
    "a rejected revision is tried again": (
        _rejected_is_tried_again,
        (somebody_aborts_and_retries,),
        "revision * was rejected and gets 50 %",
    ),
    "an ending without history": (_ended_without_history, (happy_canary,), "the rollout of * vanished without an ending"),
    "going back leaves the candidate without an ending": (
        breaks.going_back_forgets_the_candidate,
        (rollback_while_c_is_rolled_out,),
        "the rollout of * vanished without an ending",
    ),
    "promoted without steps": (_promoted_without_steps, (happy_canary,), "revision * was promoted at 0 %"),
    "an approval that is forgotten": (
        breaks.approvals_forgotten,
        (blue_green_with_approval,),
        "all is over and the rollout of * has not ended: waiting for approval at 0 %",
    ),
    "a lost record is promoted": (
        _lost_record_promoted,
        (restored_without_records,),
        "revision * gets 100 % although the record was lost and nobody approved",
    ),
    "suspension that is ignored": (breaks.suspension_ignored, (suspended_at_half_for_a_day,), "suspended, the operator moves: ['table 4']"),
    "cold before every gateway has acknowledged": (
        breaks.cold_before_it_left,
        (cold_rollback,),
        "revision * is listed and its index is out of memory",
    ),
    "cold while the table lists it": (
        breaks.cold_while_it_is_listed,
        (cold_rollback,),
        "revision * is listed and its index is out of memory",
    ),
    "weight for a cold revision that has not caught up": (
        breaks.no_catching_up,
        (cold_rollback, back_to_a_cold_revision),
        "revision * gets * % and has not caught up since it was cold",
    ),
    "weight for a cold revision at once": (
        breaks.going_back_does_not_wait,
        (cold_rollback,),
        "revision * gets 100 % and is not ready",
    ),
    "every look written down": (breaks.every_look_written_down, (happy_canary,), "at rest the operator writes ['status']"),
    "never at rest": (_never_quiet, (happy_canary,), "at rest the plan is not empty"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_planner_is_caught_by_the_invariant_that_it_breaks(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking, told, says = MUTANTS[mutant]
    breaking(monkeypatch)
    caught = _caught(planner.plan, told, says)
    assert _is(says, caught), caught


def _caught(broken: Planner, told: tuple[Story, ...], says: str) -> str:
    caught = "no story noticed"
    for story, seed in product(told, SEEDS):
        try:
            Run(seed, planner=broken).tell(story)
        except BrokenError as error:
            caught = str(error).splitlines()[-1].removeprefix(">>> ")
            if _is(says, caught):
                break
    return caught


def _is(says: str, caught: str) -> bool:
    return re.fullmatch(re.escape(says).replace(r"\*", ".*"), caught) is not None


def test_the_same_stories_pass_with_the_planner_as_it_is() -> None:
    told = {story for _, stories, _ in MUTANTS.values() for story in stories}
    for story in told:
        Run(1).tell(story)


def _invariants() -> Iterator[str]:
    """What each invariant says when it is broken, with `*` for what differs."""
    for node in ast.walk(ast.parse(inspect.getsource(invariants))):
        said = node.value if isinstance(node, ast.Yield) else None
        if isinstance(said, ast.JoinedStr | ast.Constant):
            parts = said.values if isinstance(said, ast.JoinedStr) else [said]
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)


@pytest.mark.parametrize("invariant", sorted(_invariants()))
def test_every_invariant_catches_a_mutant(invariant: str) -> None:
    assert any(_is(invariant, says) for _, _, says in MUTANTS.values())
