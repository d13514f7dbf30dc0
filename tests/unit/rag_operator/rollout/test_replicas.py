"""How many replicas a weight needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_operator.model.observed import Observed
from rag_operator.model.revision import Revision
from rag_operator.rollout.identity import resolve
from rag_operator.rollout.replicas import floors, lacking, running
from rag_operator.rollout.situation import Situation
from unit.rag_operator.rollout.situations import NOW, A, B, observed, revision, rollout, situation, spec


def stable_runs(replicas: int) -> Observed:
    seen = observed(A, B)
    part = replace(seen.components[A.embedder.name], desired_replicas=replicas)
    return replace(seen, components={**seen.components, A.embedder.name: part})


@pytest.mark.parametrize(("weight", "needed"), [(0, 1), (5, 1), (20, 1), (50, 2), (60, 3), (100, 4)])
def test_a_weight_needs_its_share_of_what_stable_runs(weight: int, needed: int) -> None:
    assert floors(situation(stable_runs(4)), rollout(), A.name, weight) == {B.embedder.name: needed}


def test_what_stable_ran_before_it_shrank_is_remembered() -> None:
    before = {A.embedder.name: 6}
    assert floors(situation(stable_runs(2)), rollout(floors=before), A.name, 50) == {B.embedder.name: 3}
    assert running(situation(stable_runs(2)), A.name, before) == before


def test_no_more_than_its_own_settings_allow_is_waited_for() -> None:
    assert floors(situation(stable_runs(30)), rollout(), A.name, 100) == {B.embedder.name: 8}
    fixed = {"replicas": 2, "autoscaling": None}
    local = {key: value for key, value in {**spec("b").to_wire()["embedder"]["local"], **fixed}.items() if value is not None}
    own = spec("b", embedder={"local": local})
    wanted: Revision = resolve("handbook", own)
    seen = stable_runs(30)
    assert floors(Situation(own, wanted, seen, NOW), rollout(candidate=wanted.name), A.name, 100) == {wanted.embedder.name: 2}


def test_what_both_sides_share_is_left_to_stable() -> None:
    other = revision("a", top_k=20)
    seen = observed(A, other)
    assert floors(situation(seen, wanted=other), rollout(candidate=other.name), A.name, 100) == {}


def test_the_first_revision_needs_no_size() -> None:
    assert floors(situation(observed(B)), rollout(), None, 100) == {}


def test_who_has_too_few_ready_replicas_is_found() -> None:
    short = lacking(situation(observed(A, B)), {B.embedder.name: 5})
    assert short is not None
    assert short.name == B.embedder.name
    assert lacking(situation(observed(A, B)), {B.embedder.name: 4}) is None
