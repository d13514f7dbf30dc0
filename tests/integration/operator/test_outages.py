"""An API server that is away, or refuses for a while: the operator waits without a busy loop, says so, and converges.

Two minutes each in the campaign, seconds of some of them with every test run.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cluster.api_only import ApiServer
from integration.operator.oracles import dishonest, unowned
from integration.operator.proxy import Proxy
from integration.operator.replica import Nursery
from integration.operator.scenario import NAME, scenario, serves
from rag_operator import names
from rag_operator.kube.resources import DEPLOYMENTS

WHOLE = bool(os.environ.get("RAG_CAMPAIGN"))
LONG = 120.0 if WHOLE else 6.0
# As in a cluster: a bound on requests says nothing about waits that no user has.
AS_DEPLOYED: dict[str, object] = {
    "lease_duration": 15.0,
    "renew_deadline": 10.0,
    "retry_period": 2.0,
    "backoff_first": 0.5,
    "backoff_limit": 60.0,
    "resync": 300.0,
}
# One replica and one pipeline: 17 kinds that are watched, each tried again after 0.2, 0.5, 1, 2, 3 and then every 5 s, twice where a
# connection was used before; a Lease every 2 s, a pass after 0.5, 1, 2 s and so on. At first all try at once, then it is steady.
FIRST, MOST_AT_FIRST, MOST_IN_A_SECOND, MOST_ON_AVERAGE, MOST_WRITES_ON_AVERAGE = 4.0, 300, 60, 12.0, 1.0


def busiest(times: list[float]) -> int:
    """Most requests within one second."""
    return max((sum(start <= other < start + 1 for other in times) for start in times), default=0)


def answering(code: int, methods: tuple[str, ...], where: str = "") -> Callable[[Proxy], None]:
    """A fault: every request with one of the methods, and this in its path, is answered with a code; 0 breaks the connection."""

    def fault(proxy: Proxy) -> None:
        proxy.refuse = lambda request: code if request.method in methods and where in request.path else None

    return fault


def cutting(proxy: Proxy) -> None:
    """A fault: watches are answered, and end at once."""
    proxy.cut = True


ALL, WRITES, READS = ("GET", "POST", "PUT", "PATCH", "DELETE"), ("POST", "PUT", "PATCH", "DELETE"), ("GET",)
OUTAGES: dict[str, Callable[[Proxy], None]] = {
    "away": answering(0, ALL),
    "everything is answered with 500": answering(500, ALL),
    "everything is answered with 429": answering(429, ALL),
    "watches end as soon as they begin": cutting,
    "reads are answered with 503": answering(503, READS),
    "writes of children conflict": answering(409, WRITES, "/apis/apps/"),
    "writes of children are refused": answering(422, WRITES, "/apis/apps/"),
    "writes of children are throttled": answering(429, WRITES, "/apis/apps/"),
    "writes of children fail": answering(500, WRITES, "/apis/apps/"),
}
IN_EVERY_RUN = ("away", "watches end as soon as they begin", "writes of children conflict")
CHANGE = {"gateway": {"replicas": 2}, "embedder": {"local": {"pod": {"priorityClassName": "system-cluster-critical"}}}}


def current(body: dict[str, Any]) -> bool:
    """Whether status says that the present spec serves and nothing is left to do, as kstatus reads it."""
    said = {condition["type"]: condition["status"] for condition in (body.get("status") or {}).get("conditions") or ()}
    return serves(body) and (said["Ready"], said["Reconciling"], said["Stalled"]) == ("True", "False", "False")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("outage", list(OUTAGES) if WHOLE else IN_EVERY_RUN)
async def test_after_an_outage_it_converges_and_during_it_asks_no_more_than_it_must(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str, outage: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace, **AS_DEPLOYED) as found:
        await found.start()
        await found.create()
        await found.ready()
        kubelet = asyncio.create_task(found.keep_running())
        try:
            OUTAGES[outage](found.proxy)
            found.proxy.break_watches()
            began, before = time.monotonic(), len(found.proxy.requests)
            await found.change(CHANGE)
            await asyncio.sleep(LONG)
            asked, took = found.proxy.requests[before:], time.monotonic() - began
            before_end = await found.pipeline()
            found.proxy.come_back()
            ended = time.monotonic()
            # The longest wait after failures, a tenth more, and the pass itself.
            body = await found.until("Ready", current, within=90.0)
        finally:
            kubelet.cancel()
            await asyncio.gather(kubelet, return_exceptions=True)
        print(f"\n{outage} for {ended - began:.0f} s; Ready {time.monotonic() - ended:.1f} s after it")
        assert too_many(asked, began, took) == []
        assert not current(before_end), "it was said to be done before it could be"
        gateway = await found.client.get(DEPLOYMENTS, namespace, names.gateway(NAME)) or {}
        assert gateway["spec"]["replicas"] == 2
        assert unowned(await found.children(), body["metadata"]["uid"]) == []
        assert dishonest(body) == []


def too_many(asked: list[tuple[float, web.Request]], began: float, took: float) -> list[str]:
    """Which bound on the requests of an outage was broken; all figures are printed."""
    at_first = [at for at, _ in asked if at < began + FIRST]
    steady = [at for at, _ in asked if at >= began + FIRST]
    writes = [at for at, request in asked if request.method != "GET" and "/leases" not in request.path]
    found = {
        f"requests in the first {FIRST:.0f} s": (len(at_first), MOST_AT_FIRST),
        "afterwards, in the busiest second": (busiest(steady), MOST_IN_A_SECOND),
        # A few seconds are no average.
        "afterwards, in a second on average": (round(len(steady) / (took - FIRST), 1), MOST_ON_AVERAGE if WHOLE else MOST_IN_A_SECOND),
        "writes but for Leases, in a second on average": (round(len(writes) / took, 2), MOST_WRITES_ON_AVERAGE),
    }
    print("; ".join(f"{what}: {count}" for what, (count, _) in found.items()))
    return [f"{what}: {count} > {most}" for what, (count, most) in found.items() if count > most]
