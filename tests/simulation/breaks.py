"""Ways to break the planner, or how its plans are carried out, so that one invariant does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag_operator.model.plan import Plan
from rag_operator.rollout import advance, collect, endings, planner, traffic, verbs
from simulation import operate

Patch = pytest.MonkeyPatch


def records_go_first(patch: Patch) -> None:
    """What a revision is made of is forgotten as soon as the table does not name it."""

    def forgettable(situation: Any, kept: list[str]) -> list[str]:
        table = situation.observed.table
        return [name for name in situation.observed.revisions if table is not None and name not in table.weights]

    patch.setattr(collect, "_forgettable", forgettable)


def indexes_do_not_wait(patch: Patch) -> None:
    """Indexes, and they alone, are collected without asking gateways."""
    unneeded = collect._unneeded
    patch.setattr(collect, "holding", lambda observed: ())
    patch.setattr(collect, "_unneeded", lambda *args: (part for part in unneeded(*args) if part.kind == "index"))


def weight_before_anything_is_ready(patch: Patch) -> None:
    unready = (advance._prepare, advance._ready, advance._evaluate, advance._warm_up)
    patch.setattr(advance, "STATIONS", tuple(station for station in advance.STATIONS if station not in unready))
    patch.setattr(traffic, "candidate_weight", lambda situation, record: record.rollout.weight if record.rollout else 0)
    patch.setattr(traffic, "_worsens", lambda *args: False)


def epochs_counted_in_status_alone(patch: Patch) -> None:
    patch.setattr(operate, "_epoch", lambda observed, record: record.epoch + 1)
    noticed = planner._noticed
    patch.setattr(planner, "_noticed", lambda situation, record: replace(noticed(situation, record), epoch=record.epoch))


def replicas_set_with_the_floor(patch: Patch) -> None:
    """Whoever sets a floor sets the replicas, too, whatever the autoscaler has found out."""

    def resize(world: Any, part: Any, floor: int, pods: int) -> None:
        part.floor, part.wanted_pods = floor, max(1, floor) if pods else 0
        world.scale(part)

    patch.setattr(operate, "_resize", resize)


def approvals_forgotten(patch: Patch) -> None:
    patch.setattr(verbs, "_approved", lambda situation, record, rollout, what: endings.Move(record))


def every_look_written_down(patch: Patch) -> None:
    act = planner._act

    def noted(situation: Any, record: Any, *rest: Any) -> Plan:
        planned = act(situation, record, *rest)
        return replace(planned, record=replace(planned.record, verbs_done={**record.verbs_done, "looked": str(situation.now)}))

    patch.setattr(planner, "_act", noted)


def suspension_ignored(patch: Patch) -> None:
    patch.setattr(planner, "_suspended", lambda situation, record: planner._act(situation, record, (), None))
    weight = traffic.candidate_weight
    patch.setattr(traffic, "candidate_weight", lambda situation, record: 0 if situation.spec.suspend else weight(situation, record))


def going_back_forgets_the_candidate(patch: Patch) -> None:
    patch.setattr(endings, "_cut_off", lambda situation, after, rollout, why: endings.Move(after))


def cold_before_it_left(patch: Patch) -> None:
    patch.setattr(planner, "routed_away", lambda *args: True)


def cold_while_it_is_listed(patch: Patch) -> None:
    patch.setattr(traffic, "is_cold", lambda *args: False)
    cold_before_it_left(patch)


def no_catching_up(patch: Patch) -> None:
    patch.setattr(advance, "_behind", lambda *args: "")


def going_back_does_not_wait(patch: Patch) -> None:
    patch.setattr(verbs, "go_back", lambda situation, record, approved: endings.roll_back(situation, record))
    patch.setattr(traffic, "_worsens", lambda *args: False)
