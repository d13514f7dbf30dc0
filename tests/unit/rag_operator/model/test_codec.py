"""The record survives being stored."""

from __future__ import annotations

import json

from rag_operator.model import codec
from rag_operator.model.plan import Decision, Gate, Leaving, Record, Retired, Rollout

FULL = Record(
    stable="a",
    rollout=Rollout("b", "Shifting", step=2, floors={"e": 4}, gates=(Gate("analysis", "Passed", "fine", {"errors": 0.5}),)),
    retired=Retired("0", 12.5, {"e": 2}),
    leaving=(Leaving("x", 3.0, "why"),),
    rejected=("y",),
    decisions=(Decision("Promoted", "a", 1.0, "why", "RolloutPromoted", {"evaluation": {"low": 0.1}}),),
    verbs_done={"v": "1"},
    epoch=41,
)


def test_a_record_comes_back_as_it_was() -> None:
    assert codec.load(json.loads(json.dumps(codec.dump(FULL)))) == FULL


def test_nothing_stored_is_an_empty_record() -> None:
    assert codec.load(None) == codec.load({}) == Record()


def test_what_a_newer_operator_added_is_ignored() -> None:
    assert codec.load({"stable": "a", "novelty": 1, "rollout": {"candidate": "b", "phase": "Indexing", "later": {}}}).stable == "a"
