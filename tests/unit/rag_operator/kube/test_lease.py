"""The lease: one leader, by clocks that need not agree; whoever cannot renew stops in time."""

from __future__ import annotations

from typing import Any

import pytest

from rag_operator import errors
from rag_operator.kube.lease import Lease, Timing
from rag_operator.kube.resources import Resource


class Server:
    """A Lease as the API server keeps it. `broken`: every request fails."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.broken = False

    async def get(self, _: Resource, __: str, ___: str) -> dict[str, Any] | None:
        self._check()
        return {**self.lease, "spec": dict(self.lease["spec"])} if self.lease else None

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._check()
        if self.lease is not None:
            raise errors.Conflict("exists", status=409)
        return self._store(manifest)

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._check()
        if self.lease is None or manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise errors.Conflict("moved on", status=409)
        return self._store(manifest)

    def _check(self) -> None:
        if self.broken:
            raise errors.Unavailable("no answer")

    def _store(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def replica(server: Server, identity: str, clock: Clock) -> Lease:
    return Lease(server, ("ns", "lease"), identity, Timing(15, 10, 2), clock)  # type: ignore[arg-type]


async def test_the_first_takes_it_and_the_second_does_not() -> None:
    server, clock = Server(), Clock()
    first, second = replica(server, "a", clock), replica(server, "b", clock)
    assert await first._try() is True
    assert await second._try() is False
    assert first.leading
    assert not second.leading


async def test_a_leader_that_stops_renewing_may_not_write_after_the_renew_deadline() -> None:
    server, clock = Server(), Clock()
    leader = replica(server, "a", clock)
    await leader._try()
    clock.now += 9.9
    leader.check()
    clock.now += 0.2
    with pytest.raises(errors.LeadershipLost):
        leader.check()


async def test_another_takes_over_only_when_the_lease_did_not_change_for_its_duration_as_seen_by_itself() -> None:
    server, clock = Server(), Clock()
    leader, heir = replica(server, "a", clock), replica(server, "b", clock)
    await leader._try()
    assert await heir._try() is False
    clock.now += 14
    assert await heir._try() is False
    await leader._try()
    clock.now += 14
    assert await heir._try() is False
    clock.now += 16
    assert await heir._try() is True
    assert not leader.leading


async def test_the_last_write_of_the_old_leader_ends_before_the_first_of_the_new_one() -> None:
    server, clock = Server(), Clock()
    leader, heir = replica(server, "a", clock), replica(server, "b", clock)
    await leader._try()
    began = clock.now
    await heir._try()
    while not await heir._try():
        clock.now += 1
    assert clock.now - began >= 10 + 5, "a write that began at the deadline may take 5 s"


async def test_a_failed_renewal_is_no_loss_until_the_deadline() -> None:
    server, clock = Server(), Clock()
    leader = replica(server, "a", clock)
    await leader._try()
    server.broken = True
    clock.now += 5
    assert await leader._try() is None
    assert leader.leading


async def test_holding_ends_when_the_server_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    server, clock = Server(), Clock()
    leader = replica(server, "a", clock)
    await leader._try()
    server.broken = True

    async def pass_time(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr("rag_operator.kube.lease.asyncio.sleep", pass_time)
    with pytest.raises(errors.LeadershipLost):
        await leader.hold()
    assert clock.now <= 1000 + 10 + 2


async def test_holding_ends_at_once_when_somebody_else_took_over(monkeypatch: pytest.MonkeyPatch) -> None:
    server, clock = Server(), Clock()
    leader, other = replica(server, "a", clock), replica(server, "b", clock)
    await leader._try()
    assert server.lease is not None
    server.lease["spec"]["holderIdentity"] = ""
    await other._try()

    async def pass_time(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr("rag_operator.kube.lease.asyncio.sleep", pass_time)
    with pytest.raises(errors.LeadershipLost):
        await leader.hold()
    assert not leader.leading


async def test_a_released_lease_is_free_at_once() -> None:
    server, clock = Server(), Clock()
    leader, heir = replica(server, "a", clock), replica(server, "b", clock)
    await leader._try()
    await leader.release()
    assert not leader.leading
    assert await heir._try() is True
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


async def test_two_that_try_in_the_same_moment_do_not_both_lead() -> None:
    server, clock = Server(), Clock()
    first, second = replica(server, "a", clock), replica(server, "b", clock)
    await first._try()
    assert server.lease is not None
    stale = {**server.lease, "metadata": dict(server.lease["metadata"])}
    await second._try()
    clock.now += 20
    assert await second._try() is True

    async def see_stale(*_: object) -> dict[str, Any]:
        return stale

    server.get = see_stale  # type: ignore[method-assign]
    assert await first._try() is None
    assert not first.leading
