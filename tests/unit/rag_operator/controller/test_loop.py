"""What a pass is told of the cluster: never a guess."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rag_operator import errors
from rag_operator.controller.loop import Loop
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.observe import Capabilities
from rag_operator.controller.queue import Backoff, Queue
from rag_operator.controller.reconcile import Outcome
from rag_operator.desired.context import Surroundings

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
    work = asyncio.create_task(Loop(queue, Mirror(), reconciler, observer, Surroundings()).run(workers=3))
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
