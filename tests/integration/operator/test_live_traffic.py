"""Live traffic decides a rollout: by the numbers that the operator reads from the metrics pages of gateways, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.replica import Nursery
from integration.operator.scenario import MINIMAL, Scenario, scenario
from rag_gateway.metrics import ERROR, OK

LARGE = {"name": "acme/large", "revision": "2", "source": {"image": {"reference": "models:1", "path": "large"}}}
ANALYSED = {
    "strategy": "Canary",
    "abortDelay": "0s",
    "rollback": {"window": "1h"},
    "canary": {"steps": [{"setWeight": 50}]},
    "analysis": {"minRequests": 60, "margin": "1%", "maxDuration": "1h"},
}
GATEWAYS, ENOUGH, EARLIER = 2, 40, 500


async def half(found: Scenario) -> tuple[str, str]:
    """Roll out another model to half of the traffic, and wait until the operator asks for more of it; stable and candidate."""
    await found.start()
    await found.create({**MINIMAL, "gateway": {"replicas": GATEWAYS}, "rollout": ANALYSED})
    stable = (await found.ready())["status"]["stable"]["revision"]
    found.world.answer(stable, ERROR, EARLIER)  # what was before the step counts for nobody
    await found.change({"embedder": {"local": {"model": LARGE}}})
    asks = f"fewer than {ANALYSED['analysis']['minRequests']} requests"  # type: ignore[index]
    body = await found.until("waiting for traffic", lambda body: asks in (body["status"].get("candidate") or {}).get("held", ""))
    assert body["status"]["traffic"] == "50/50"
    return stable, body["status"]["candidate"]["revision"]


def decided(name: str) -> Any:
    """Whether the newest decision is about a revision."""
    return lambda body: body["status"]["decisions"][0]["revision"] == name


def analyses(found: Scenario) -> list[dict[str, Any]]:
    """The results of the gate of live traffic that a status showed."""
    statuses = [write.body["status"] for write in found.proxy.sent() if write.path.endswith("/status") and "/ragpipelines/" in write.path]
    gates = [gate for status in statuses for gate in (status.get("candidate") or {}).get("gates", ())]
    return [gate for gate in gates if gate["name"] == "Analysis"]


@pytest.mark.timeout(300)
async def test_a_candidate_that_answers_as_well_as_stable_is_promoted(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        stable, candidate = await half(found)
        for revision in (stable, candidate):
            found.world.answer(revision, OK, ENOUGH)
        body = await found.until("decided", decided(candidate))
        assert (body["status"]["decisions"][0]["outcome"], body["status"]["stable"]["revision"]) == ("Promoted", candidate)
        passed = [gate for gate in analyses(found) if gate["result"] == "Passed"]
        expected = {"requests stable": 80, "requests candidate": 80, "errors stable": 0, "errors candidate": 0}
        assert passed
        assert expected.items() <= passed[0]["numbers"].items()
        assert 0.01 < passed[0]["numbers"]["retrievalP95 candidate"] <= 0.025


@pytest.mark.timeout(300)
async def test_a_candidate_whose_answers_fail_is_aborted(api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        stable, candidate = await half(found)
        found.world.answer(stable, OK, ENOUGH)
        found.world.answer(candidate, OK, ENOUGH // 2)
        found.world.answer(candidate, ERROR, ENOUGH // 2)
        body = await found.until("decided", decided(candidate))
        decision = body["status"]["decisions"][0]
        assert (decision["outcome"], decision["reason"]) == ("Aborted", "AnalysisFailed")
        assert (body["status"]["stable"]["revision"], body["status"]["traffic"]) == (stable, "100")
        assert decision["numbers"]["analysis errors stable"] == 0
        assert 0 < decision["numbers"]["analysis errors candidate"] <= GATEWAYS * ENOUGH // 2
