"""Runs of a workload, undisturbed and disturbed, and their comparison."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.operator import oracles
from integration.operator.proxy import OLD_VIEW, Do, Write
from integration.operator.replica import Nursery
from integration.operator.scenario import SETTLED, Scenario, scenario
from integration.operator.workloads import Workload
from rag_operator.kube.resources import PIPELINES

_numbers = itertools.count(1)
QUIET = 1.5
AT_ONCE = 3  # runs side by side, each in a namespace of its own: most of a run is waiting


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    writes: list[Write]
    state: dict[tuple[str, str], Any]
    counts: tuple[Counter[str], Counter[str]]
    wrong: list[str]


@dataclass
class Disturbance:
    """One fault: what is done to the write with a number. It happens once."""

    number: int
    do: Do
    happened: bool = False

    def __call__(self, write: Write) -> Do:
        """What happens to a write."""
        if self.happened or write.is_event or write.number != self.number:
            return Do.PASS
        self.happened = True
        return self.do

    def __str__(self) -> str:
        return f"{self.do.name} at write {self.number}"


async def run(
    api: Any,
    nursery: Nursery,
    directory: Path,
    workload: Workload,
    disturb: Callable[[Write], Do] | None = None,
    *,
    patience: float = 90.0,
    delay: Callable[[dict[str, Any]], float] | None = None,
    latest: float = 0.0,
    **settings: object,
) -> Result:
    """Run a workload to its end and look at what is left.

    `delay`: by how many seconds each event of a watch is late; `latest`: for how long what the operator sees may be old, so that a write
    may still come.
    """
    name = f"run-{next(_numbers)}-{workload.name.replace('_', '-')}"
    async with scenario(api, nursery, directory, name, **settings) as found:
        found.patience, found.settled = patience, SETTLED + latest
        if disturb is not None:
            found.proxy.decide = disturb
        if delay is not None:
            found.proxy.delay = delay
        wrong: list[str] = []
        honesty = asyncio.create_task(_watch_honesty(found, wrong))
        await found.start()
        kubelet = asyncio.create_task(found.keep_running())
        body: dict[str, Any] = {}
        writes = 0
        try:
            body = await workload.run(found)
            writes = len(found.proxy.sent())
            await asyncio.sleep(QUIET)
        except AssertionError as error:
            found.failures.append(str(error))
            writes = len(found.proxy.sent())
            body = await found.pipeline()
        finally:
            for task in (honesty, kubelet):
                task.cancel()
            await asyncio.gather(honesty, kubelet, return_exceptions=True)
        wrong += [f"not quiet: {write.method} {write.path}" for write in found.proxy.sent()[writes:]]
        return await _result(found, body, [*wrong, *found.safety.broken, *_defects(found), *found.failures])


async def _result(found: Scenario, body: dict[str, Any], wrong: list[str]) -> Result:
    objects = await found.children()
    uid = body["metadata"]["uid"] if body else "none"
    if body:
        wrong = [*wrong, *oracles.unowned(objects, uid), *oracles.dishonest(body)]
    else:
        objects = {key: value for key, value in objects.items() if "deletionTimestamp" not in value["metadata"]}
    return Result(found.proxy.sent(), oracles.end_state(objects, uid), found.made_and_deleted(), wrong)


async def _watch_honesty(found: Scenario, wrong: list[str]) -> None:
    """Look at the status of every state of the pipeline that can be seen."""
    while True:
        for body in await found.client.list(PIPELINES, found.namespace):
            wrong += [finding for finding in oracles.dishonest(body) if finding not in wrong]
        await asyncio.sleep(0.1)


def _defects(found: Scenario) -> list[str]:
    """Tracebacks in the operator's log."""
    lines = found.replica.lines() if found.replica is not None else []
    return [f"defect: {line.get('message')}: {str(line['error'])[-300:]}" for line in lines if "Traceback" in str(line.get("error", ""))]


def compare(reference: Result, result: Result) -> list[str]:
    """Everything that a disturbed run did wrong."""
    return [*result.wrong, *oracles.differences(reference.state, result.state), *oracles.too_often(reference.counts, result.counts)]


async def run_each(
    api: Any, nursery: Nursery, directory: Path, workload: Workload, disturbances: Iterable[Disturbance], *, reference: Result
) -> dict[str, list[str]]:
    """Run a workload once with each disturbance. What went wrong, by disturbance."""
    turn, found = asyncio.Semaphore(AT_ONCE), dict[str, list[str]]()

    async def one(disturbance: Disturbance) -> None:
        async with turn:
            latest = OLD_VIEW if disturbance.do in (Do.BLIND, Do.STALE) else 0.0
            if wrong := compare(reference, await run(api, nursery, directory, workload, disturbance, latest=latest)):
                found[str(disturbance)] = wrong

    async with asyncio.TaskGroup() as group:
        for disturbance in disturbances:
            group.create_task(one(disturbance))
    return found
