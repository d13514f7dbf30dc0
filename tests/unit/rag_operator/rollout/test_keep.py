"""What must stand, and how large: floors of both sides, until nobody can use them any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_operator import names
from rag_operator.api.scalars import Duration
from rag_operator.model.observed import ComponentState, GatewayPod, Observed, TableState
from rag_operator.model.plan import Leaving, Record, Retired
from rag_operator.model.revision import Revision
from rag_operator.rollout.planner import plan
from unit.rag_operator.rollout.situations import HOUR, NOW, A, B, keeps, observed, planned, record, revision, rollout, spec, states


def test_the_candidate_is_brought_to_its_share_of_what_stable_runs() -> None:
    before = record(rollout=rollout(weight=10, weight_since=NOW, floors={A.embedder.name: 6}, step=2))
    result = planned(observed(A, B, weights={A.name: 90, B.name: 10}), before)
    assert keeps(result)[B.name].floors == {B.embedder.name: 3}
    assert keeps(result)[A.name].floors == {A.embedder.name: 6}


def test_both_sides_keep_their_size_until_every_gateway_has_left() -> None:
    left = record(leaving=(Leaving(B.name, NOW - 1, "aborted", {A.embedder.name: 4, B.embedder.name: 2}),), rejected=(B.name,))
    streaming = observed(A, B, gateways=(replace(observed(A).gateways[0], epoch_oldest=6),))
    listed = observed(A, B, weights={A.name: 100, B.name: 0})
    for seen in (streaming, listed):
        held = keeps(planned(seen, left))
        assert (held[B.name].floors, held[B.name].idle, held[A.name].floors) == ({B.embedder.name: 2}, False, {A.embedder.name: 4})
    gone = keeps(planned(observed(A, B), left))
    assert (gone[B.name].idle, gone[A.name].floors) == (True, {})


def sized(**replicas: int) -> Observed:
    """A and B side by side, with these numbers of pods of their embedders."""
    parts = states(A, B)
    for item, pods in ((A, replicas["a"]), (B, replicas["b"])):
        parts[item.embedder.name] = replace(parts[item.embedder.name], desired_replicas=pods, ready_replicas=pods)
    return observed(B, A, weights={B.name: 100, A.name: 0}, components=parts)


def test_what_was_promoted_keeps_its_size_until_its_autoscaler_has_seen_the_traffic() -> None:
    shifted = record(rollout=rollout(weight=100, weight_since=NOW, steps=0, floors={A.embedder.name: 8}))
    promoted = planned(sized(a=8, b=8), shifted, canary=None, strategy="BlueGreen").record
    assert promoted.stable == B.name
    for seconds, held in ((1, {B.embedder.name: 8}), (299, {B.embedder.name: 8}), (301, {})):
        result = planned(sized(a=8, b=1), promoted, now=NOW + seconds)
        assert keeps(result)[B.name].floors == held
        assert keeps(result)[A.name].floors == {A.embedder.name: 8}
    assert planned(sized(a=8, b=8), promoted, now=NOW + 1).requeue_after == 299


def test_a_longer_scale_down_window_keeps_what_was_promoted_for_as_long() -> None:
    slow = spec("b", {"strategy": "BlueGreen", "abortDelay": "1m"})
    assert slow.embedder.local is not None
    assert slow.embedder.local.autoscaling is not None
    slow.embedder.local.autoscaling.__dict__["scale_down_window"] = Duration("20m")
    shifted = record(rollout=rollout(weight=100, steps=0, weight_since=NOW))
    promoted = plan(slow, B, sized(a=8, b=8), shifted, NOW).record
    assert promoted.settling is not None
    assert promoted.settling.until == NOW + 1200


@pytest.mark.parametrize("wanted", [A, revision("c")], ids=["reverted", "superseded"])
def test_stable_that_gets_its_traffic_back_keeps_its_size_until_its_autoscaler_has_seen_it(wanted: Revision) -> None:
    before = record(rollout=rollout(weight=50, floors={A.embedder.name: 8}))
    back = planned(observed(A, B, weights={A.name: 50, B.name: 50}), before, wanted).record
    gone = observed(A, B)
    assert keeps(planned(gone, back, wanted, now=NOW + 299))[A.name].floors == {A.embedder.name: 8}
    assert keeps(planned(gone, back, wanted, now=NOW + 301))[A.name].floors == {}


def test_what_is_rolled_back_to_keeps_the_size_it_was_kept_at() -> None:
    before = Record(stable=B.name, retired=Retired(A.name, NOW + HOUR, {A.embedder.name: 8}), epoch=7)
    asked = replace(sized(a=8, b=6), verbs={names.VERB_ROLLBACK: f"{A.name}/1"})
    back = planned(asked, before).record
    assert back.stable == A.name
    for late in (NOW, NOW + 299):
        result = keeps(planned(asked, back, now=late))
        assert (result[A.name].floors, result[B.name].floors) == ({A.embedder.name: 8}, {B.embedder.name: 6})
    deaf = replace(asked, gateways=(replace(asked.gateways[0], reachable=False),))
    assert keeps(planned(deaf, back, now=NOW + HOUR))[A.name].floors == {A.embedder.name: 8}
    gone = replace(asked, table=TableState(8, {A.name: 100}), gateways=(replace(asked.gateways[0], epoch_oldest=8),))
    assert keeps(planned(gone, back, now=NOW + HOUR))[A.name].floors == {}


def test_what_is_kept_for_rollback_keeps_its_size_when_the_spec_asks_for_it_again() -> None:
    before = Record(stable=A.name, retired=Retired(B.name, NOW + HOUR, {B.embedder.name: 8}), rollout=rollout("Evaluating"), epoch=7)
    again = keeps(planned(observed(A, B, weights={A.name: 100, B.name: 0}), before))[B.name]
    assert (again.role, again.floors) == ("candidate", {B.embedder.name: 8})


def test_a_candidate_that_is_kept_for_rollback_has_left_when_every_gateway_knows_that_it_has_no_traffic() -> None:
    shifting = rollout(weight=50, floors={A.embedder.name: 8})
    before = Record(stable=A.name, retired=Retired(B.name, NOW + 24 * HOUR), rollout=shifting, epoch=7)
    both = observed(A, B, weights={A.name: 50, B.name: 50}, verbs={names.VERB_ABORT: B.name})
    aborted = planned(both, before).record
    assert (aborted.rollout, aborted.rejected) == (None, (B.name,))
    unheard = observed(A, B, weights={A.name: 100, B.name: 0}, gateways=(replace(both.gateways[0], epoch_oldest=6),))
    late = NOW + 2 * HOUR
    for answering in (both, unheard):
        assert keeps(planned(answering, aborted, now=late))[A.name].floors == {A.embedder.name: 8}
    heard = planned(observed(A, B, weights={A.name: 100, B.name: 0}), aborted, now=late)
    assert keeps(heard)[A.name].floors == {}
    assert heard.requeue_after == before.retired.until - late if before.retired else None


@pytest.mark.parametrize(
    ("gateways", "known"),
    [
        ((GatewayPod("gateway-0", reachable=True, epoch_served=7, epoch_oldest=6),), True),
        ((GatewayPod("gateway-0"),), True),
        ((), False),
    ],
    ids=["a stream by an older table", "a gateway that starts", "gateways that cannot be listed"],
)
def test_what_waits_for_retry_gets_no_pods_back_whatever_gateways_are_busy_with(gateways: tuple[GatewayPod, ...], *, known: bool) -> None:
    waits = record(leaving=(Leaving(B.name, NOW - 1, "aborted", {A.embedder.name: 4, B.embedder.name: 2}),), rejected=(B.name,))
    down = states(A, B, ready_replicas=0, desired_replicas=0, stopped=True)
    seen = observed(A, B, components=down, gateways=gateways, gateways_known=known)
    held = keeps(planned(seen, waits))
    assert (held[B.name].idle, held[B.name].floors, held[A.name].floors) == (True, {}, {})
    listed = replace(seen, table=TableState(7, {A.name: 100, B.name: 0}))
    assert not keeps(planned(listed, waits))[B.name].idle
    up = {name: replace(part, desired_replicas=2) if part.kind == "embedder" else part for name, part in down.items()}
    assert not keeps(planned(replace(seen, components=up), waits))[B.name].idle
    written = {name: replace(part, stopped=False) for name, part in down.items()}
    assert not keeps(planned(replace(seen, components=written), waits))[B.name].idle


def test_stable_keeps_its_size_while_a_gateway_may_still_ask_what_cannot_be_seen_to_sleep() -> None:
    external = replace(B, index=A.index)
    parts = states(A) | {B.embedder.name: ComponentState("embedder", B.embedder.name, exists=True, elsewhere=True, ready=True)}
    left = record(leaving=(Leaving(B.name, NOW - 1, "aborted", {A.embedder.name: 4}),), rejected=(B.name,))
    for gone in (observed(A, external, components=parts), observed(A)):  # it runs elsewhere; it has no record any more
        streaming = replace(gone, gateways=(replace(gone.gateways[0], epoch_oldest=6),))
        assert keeps(planned(streaming, left, None))[A.name].floors == {A.embedder.name: 4}
        assert keeps(planned(gone, left, None))[A.name].floors == {}
