"""Two replicas: one writes, another takes over, and who lost the lead writes nothing more."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from pathlib import Path

import pytest

from cluster.api_only import ApiServer
from integration.operator.proxy import Write
from integration.operator.replica import Nursery, Replica
from integration.operator.scenario import Scenario, scenario
from rag_operator.kube.resources import LEASES

WHOLE = bool(os.environ.get("RAG_CAMPAIGN"))
ROUNDS = 20 if WHOLE else 2
LEASE: dict[str, object] = {"lease_duration": 7.0, "renew_deadline": 5.0, "retry_period": 0.5, "write_timeout": 2.0}
# What the operator has where nobody sets anything: the promise of 20 s is about these. Two rounds of them would take CI half a minute.
DEFAULTS: dict[str, object] = {"lease_duration": 15.0, "renew_deadline": 10.0, "retry_period": 2.0, "write_timeout": 5.0}


async def two(found: Scenario) -> dict[str, Replica]:
    """Two replicas, by name."""
    first = await found.start(identity="first")
    second = await found.start(identity="second")
    return {"first": first, "second": second}


def writer(write: Write) -> str:
    """The replica that sent a write, as its user agent says."""
    return write.agent.rpartition("(")[2].rstrip(")")


async def leader(found: Scenario, of: dict[str, Replica], within: float = 20.0) -> str:
    """The replica that renewed the Lease last and is alive."""
    async with asyncio.timeout(within):
        while True:
            leases = [write for write in found.proxy.writes if write.is_lease and write.status in (200, 201)]
            if leases and of[writer(leases[-1])].alive:
                return writer(leases[-1])
            await asyncio.sleep(0.05)


async def taken_over(found: Scenario, dead: str, since: int, within: float = 20.0) -> float:
    """Wait until another replica has written the Lease; the moment, by the monotonic clock."""
    async with asyncio.timeout(within):
        while not any(write.is_lease and write.status in (200, 201) and writer(write) != dead for write in found.proxy.writes[since:]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.monotonic()


def interleaved(writes: list[Write]) -> bool:
    """Whether a replica wrote again after another one had begun to."""
    order = [writer(write) for write in writes]
    runs = [name for place, name in enumerate(order) if place == 0 or order[place - 1] != name]
    return len(runs) != len(set(runs))


@pytest.mark.timeout(1200)
async def test_when_the_leader_is_killed_another_takes_over_and_their_writes_never_interleave(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    took, served = [], []
    async with scenario(api, nursery, tmp_path, namespace, **(DEFAULTS if WHOLE else LEASE)) as found:
        replicas = await two(found)
        await found.create()
        await found.ready()
        for turn in range(ROUNDS):
            dead = await leader(found, replicas)
            replicas[dead].kill()
            killed, since = time.monotonic(), len(found.proxy.writes)
            await found.change({"gateway": {"replicas": 2 + turn % 2}})
            took.append(await taken_over(found, dead, since) - killed)
            await found.ready()
            served.append(time.monotonic() - killed)
            await replicas[dead].gone()
            name = f"replica-{turn}"
            replicas[name] = await found.start(identity=name)
        assert not interleaved(found.proxy.sent())
    print(f"\n{ROUNDS} leaders killed: another led after {spread(took)}")
    print(f"what changed meanwhile was served, and quiet, after {spread(served)}")
    assert max(took) < 20


def spread(seconds: list[float]) -> str:
    """Least, middle and most."""
    return f"{min(seconds):.1f} / {statistics.median(seconds):.1f} / {max(seconds):.1f} s (least, median, most)"


@pytest.mark.timeout(300)
async def test_a_leader_that_was_paused_beyond_its_lease_writes_nothing_when_it_goes_on(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **LEASE) as found:
        replicas = await two(found)
        await found.create()
        await found.ready()
        paused = await leader(found, replicas)
        replicas[paused].signal(signal.SIGSTOP)
        await found.change({"gateway": {"replicas": 2}})
        await found.ready()
        before = len(found.proxy.sent())
        replicas[paused].signal(signal.SIGCONT)
        await replicas[paused].gone()
        late = [write for write in found.proxy.sent()[before:] if writer(write) == paused]
        assert [write.path for write in late] == []
        assert not interleaved(found.proxy.sent())


@pytest.mark.timeout(300)
async def test_a_leader_before_a_server_that_hangs_steps_down_in_time_and_somebody_leads_when_it_answers(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **LEASE) as found:
        replicas = await two(found)
        await found.create()
        await found.ready()
        led = await leader(found, replicas)
        found.proxy.open.clear()
        hung = time.monotonic()
        await replicas[led].gone()
        assert time.monotonic() - hung < 15
        found.proxy.open.set()
        await found.change({"gateway": {"replicas": 2}})
        await found.ready()


@pytest.mark.timeout(200)
async def test_a_leader_that_is_told_to_stop_gives_the_lead_away_at_once(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **LEASE) as found:
        replica = await found.start(identity="first")
        await leader(found, {"first": replica})
        replica.signal(signal.SIGTERM)
        await replica.gone()
        lease = await found.client.get(LEASES, namespace, "rag-operator")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == ""
