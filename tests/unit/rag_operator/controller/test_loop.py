"""What a pass is told of the cluster: never a guess."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from rag_operator import errors
from rag_operator.controller.loop import Loop
from rag_operator.controller.mirror import Head, Key, Mirror
from rag_operator.controller.observe import Capabilities
from rag_operator.controller.queue import Backoff, Queue
from rag_operator.controller.reconcile import Outcome
from rag_operator.desired.context import Surroundings


async def around() -> Surroundings:
    return Surroundings()


OFFERED = Capabilities(pod_monitors=True, milvus_operator=True)
KEYS = [Key("n", f"p{number}") for number in range(3)]


class Cluster:
    """Answers slowly, and fails at first."""

    def __init__(self, failures: int = 0) -> None:
        self.asked, self._failures = 0, failures

    async def capabilities(self) -> Capabilities:
        self.asked += 1
        await asyncio.sleep(0)
        if self.asked <= self._failures:
            raise errors.Unavailable("no answer")
        return OFFERED


class Passes:
    """Records what each pass was told."""

    def __init__(self) -> None:
        self.told: dict[Key, list[tuple[Capabilities, bool]]] = {}
        self.all = asyncio.Event()

    async def reconcile(self, key: Key, offered: Capabilities, surroundings: Surroundings) -> Outcome:
        self.told.setdefault(key, []).append((offered, surroundings.pod_monitors))
        if len(self.told) == len(KEYS):
            self.all.set()
        return Outcome(True, again_after=3600.0)


async def told(cluster: Cluster) -> dict[Key, list[tuple[Capabilities, bool]]]:
    passes, queue = Passes(), Queue[Key](Backoff(first=0.01), time.monotonic)
    for key in KEYS:
        queue.add(key)
    observer: Any = cluster
    reconciler: Any = passes
    work = asyncio.create_task(Loop(queue, Mirror(), reconciler, observer, around).run(workers=3))
    await asyncio.wait_for(passes.all.wait(), 10)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return passes.told


async def test_no_pass_begins_before_the_cluster_said_what_it_offers() -> None:
    cluster = Cluster()
    assert await told(cluster) == {key: [(OFFERED, True)] for key in KEYS}
    assert cluster.asked == 1


async def test_while_it_does_not_answer_passes_wait_and_guess_nothing() -> None:
    assert all(one == (OFFERED, True) for passes in (await told(Cluster(failures=2))).values() for one in passes)


class Growing(Cluster):
    """Offers monitors of pods only later."""

    async def capabilities(self) -> Capabilities:
        return replace(await super().capabilities(), pod_monitors=self.asked > 1)


class Moving:
    """An API server whose address changes, and that is sometimes not told."""

    def __init__(self, *places: Surroundings) -> None:
        self._places = list(places)

    async def __call__(self) -> Surroundings:
        if not self._places:
            raise errors.Unavailable("no answer")
        return self._places.pop(0)


UNTOLD = Surroundings(cluster="c")
HERE, THERE = (replace(UNTOLD, api_server_cidrs=(f"10.0.0.{one}/32",), api_server_ports=(443, 6440 + one)) for one in (1, 2))


async def test_where_the_api_server_went_is_told_to_every_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways and indexers may reach it at the addresses of their policies alone, and a control plane that is upgraded has others."""
    monkeypatch.setattr("rag_operator.controller.loop._CAPABILITIES_EVERY", 0.0)
    queue, mirror, told = Queue[Key](Backoff(), time.monotonic), Mirror(), list[tuple[Key, Surroundings]]()
    mirror.pipelines = {key: Head("u", 1, 1, {}, False) for key in KEYS}
    moved = asyncio.Event()

    class Recorder:
        async def reconcile(self, key: Key, _: Capabilities, surroundings: Surroundings) -> Outcome:
            told.append((key, surroundings))
            if {key for key, around in told if around == replace(THERE, pod_monitors=True)} == set(KEYS):
                moved.set()
            return Outcome(True, again_after=0.01 if key == KEYS[0] else 3600.0)

    for key in KEYS:
        queue.add(key)
    observer: Any = Growing()
    reconciler: Any = Recorder()
    moving = Moving(HERE, HERE, UNTOLD, THERE)
    work = asyncio.create_task(Loop(queue, mirror, reconciler, observer, moving).run(workers=1))
    await asyncio.wait_for(moved.wait(), 10)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert {around.api_server_cidrs for _, around in told} == {HERE.api_server_cidrs, THERE.api_server_cidrs}


async def test_what_may_not_be_read_is_not_worked_on() -> None:
    """A view of it may lack anything; it is enqueued again when all of it was listed."""
    queue, mirror, passed, forgotten = Queue[Key](Backoff(), time.monotonic), Mirror(), asyncio.Event(), list[Key]()
    mirror.out_of_reach.add("lost")
    lost, within = Key("lost", "p"), Key("n", "p")

    class Recorder:
        async def reconcile(self, key: Key, *_: object) -> Outcome:
            assert key == within
            passed.set()
            return Outcome(True, again_after=3600.0)

        def forget(self, key: Key) -> None:
            forgotten.append(key)

    queue.add(lost)
    queue.add(within)
    observer: Any = Cluster()
    reconciler: Any = Recorder()
    work = asyncio.create_task(Loop(queue, mirror, reconciler, observer, around).run(workers=1))
    await asyncio.wait_for(passed.wait(), 10)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert forgotten == [lost]
    assert queue.depth == 0
