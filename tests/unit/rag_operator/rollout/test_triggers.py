"""Each reason to act, and when it is none."""

from __future__ import annotations

from dataclasses import replace

from rag_operator.model.observed import GatewayPod
from rag_operator.model.plan import Leaving, Record, Retired
from rag_operator.rollout import triggers
from rag_operator.rollout.situation import describe
from unit.rag_operator.rollout.situations import NOW, A, B, observed, record, revision, rollout, situation, states

C = revision("c")


def test_a_spec_that_asks_for_something_else_is_a_reason() -> None:
    found = situation(observed(A))
    assert triggers.changed(found, record())
    assert triggers.changed(found, Record()) == "the first one"


def test_what_serves_is_rolled_out_or_was_rejected_is_none() -> None:
    assert not triggers.changed(situation(observed(A), wanted=A), record())
    assert not triggers.changed(situation(observed(A)), record(rollout=rollout()))
    assert not triggers.changed(situation(observed(A)), record(rejected=(B.name,)))
    assert not triggers.changed(situation(observed(A), wanted=None), record())


def test_back_to_stable_reverts_and_a_third_revision_supersedes() -> None:
    under_way = record(rollout=rollout())
    assert triggers.reverted(situation(observed(A), wanted=A), under_way)
    assert not triggers.reverted(situation(observed(A), wanted=A), record())
    assert triggers.superseded(situation(observed(A), wanted=C), under_way)
    assert not triggers.superseded(situation(observed(A), wanted=A), under_way)
    assert not triggers.superseded(situation(observed(A)), under_way)


def test_a_lost_status_is_read_from_the_routing_table() -> None:
    both = situation(observed(A, B, weights={A.name: 20, B.name: 80}))
    assert A.name in triggers.record_lost(both, Record())
    assert not triggers.record_lost(both, record())
    assert not triggers.record_lost(situation(observed(A, table=None)), Record())
    assert not triggers.record_lost(situation(observed(A, weights={"unknown": 100})), Record())


def test_a_wanted_revision_that_serves_alone_is_stable_when_status_is_lost() -> None:
    assert triggers.restorable(situation(observed(B))) == B.name


def test_the_rollback_window_ends_on_time() -> None:
    retired = Record(stable=B.name, retired=Retired(A.name, NOW))
    assert triggers.window_over(situation(observed(B)), retired)
    assert not triggers.window_over(situation(observed(B), now=NOW - 1), retired)


def test_who_left_goes_after_its_delay_and_when_no_gateway_uses_it() -> None:
    left = record(leaving=(Leaving(B.name, NOW, "why"),))
    found = situation(observed(A, B), wanted=A)
    gone = triggers.departed(found, left)
    assert gone is not None
    assert gone.revision == B.name
    assert triggers.departed(replace(found, now=NOW - 1), left) is None
    streaming = observed(A, B, gateways=(GatewayPod("gateway-0", reachable=True, epoch_served=7, epoch_oldest=6),))
    assert triggers.departed(situation(streaming, wanted=A), left) is None


def test_a_rejected_revision_that_the_spec_asks_for_waits_for_retry_with_its_index() -> None:
    left = record(leaving=(Leaving(B.name, NOW, "why"),), rejected=(B.name,))
    assert triggers.departed(situation(observed(A, B)), left) is None
    assert triggers.departed(situation(observed(A, B), wanted=C), left) is not None


def test_a_part_that_failed_for_good_is_told_in_its_own_words() -> None:
    parts = states(A, B)
    parts[B.index.name] = replace(parts[B.index.name], failed=True, message="3 builds failed: access denied")
    failed = triggers.broken(situation(observed(A, B, components=parts)), record(rollout=rollout()))
    assert failed is not None
    assert "access denied" in describe(failed)
    assert not triggers.broken(situation(observed(A, B)), record(rollout=rollout()))
