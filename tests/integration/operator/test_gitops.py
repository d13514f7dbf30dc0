"""Git owns the spec: whatever the operator did, applying the file again changes nothing, and it owns nothing that Git could."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.api_only import ApiServer
from integration.operator.replica import Nursery
from integration.operator.scenario import NAME, Scenario, scenario
from rag_operator import names

EXAMPLE = Path(__file__).parents[3] / "examples/production.yaml"
AS_ARGO_CD = ("--server-side", "--field-manager=argocd-controller", "--force-conflicts")


def committed(namespace: str, model: str) -> str:
    """The fullest example as a file in Git, with a store of somebody else, and a rollout that waits for somebody."""
    found: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    found["metadata"] |= {"namespace": namespace, "name": NAME, "annotations": {"example.com/owner": "search-team"}}
    spec = found["spec"]
    spec["embedder"]["local"]["model"]["name"] = model
    milvus = spec["vectorStore"]["milvus"]
    del milvus["cluster"]
    milvus["external"] = {"address": "milvus.example:19530"}
    spec["deletionPolicy"] = "Delete"  # which takes a finalizer
    rollout = spec["rollout"]
    del rollout["evaluation"], rollout["analysis"]
    rollout |= {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}, "abortDelay": "0s"}
    return str(yaml.safe_dump(found, sort_keys=False))


async def apply(api: ApiServer, file: str, *more: str) -> dict[str, Any]:
    """Apply a file as Argo CD does; the object as it is then."""
    arguments = ("apply", *AS_ARGO_CD, *more, "-f", "-", "-o", "json", "--show-managed-fields")
    answer: dict[str, Any] = json.loads(await asyncio.to_thread(api.kubectl, *arguments, stdin=file))
    return answer


async def assert_git_is_in_force(api: ApiServer, found: Scenario, file: str) -> None:
    """Nothing differs between the file and what is there, and the operator owns nothing but its status and its finalizer."""
    live = await found.pipeline()
    again = await apply(api, file, "--dry-run=server")
    # The same version: the server found nothing to write, in metadata and in the ownership of fields neither.
    assert (again["metadata"]["resourceVersion"], again) == (live["metadata"]["resourceVersion"], live)
    owned = {
        (entry["manager"], entry.get("subresource", ""), path)
        for entry in live["metadata"]["managedFields"]
        if entry["manager"] not in ("argocd-controller", "somebody")
        for path in _paths(entry["fieldsV1"])
    }
    assert owned == {("rag-operator", "status", "status"), ("rag-operator", "", "metadata.finalizers")}


def _paths(fields: dict[str, Any]) -> set[str]:
    """What is owned, to the second level; of a status, the first."""
    found = set()
    for key, below in fields.items():
        inner = [name.removeprefix("f:") for name in below if name != "."]
        top = key.removeprefix("f:")
        found |= {top} if top == "status" or not inner else {f"{top}.{name}" for name in inner}
    return found


async def use(api: ApiServer, found: Scenario, verb: str, value: str) -> None:
    """Give a verb with kubectl, as somebody, and wait until it was done."""
    annotation = f"{names.GROUP}/{verb}={value}"
    await asyncio.to_thread(api.kubectl, "annotate", "-n", found.namespace, "ragp", NAME, "--field-manager=somebody", annotation)
    said = {"name": verb, "value": value, "result": "Done"}
    await found.until(f"{verb} done", lambda body: any(said.items() <= one.items() for one in body["status"]["verbs"]))


@pytest.mark.timeout(300)
async def test_a_rollout_its_approval_and_the_way_back_make_no_diff(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        file = committed(namespace, "BAAI/bge-large-en-v1.5")
        await apply(api, file)
        first = (await found.ready())["status"]["stable"]["revision"]
        await assert_git_is_in_force(api, found, file)

        file = committed(namespace, "acme/large")
        await apply(api, file)
        body = await found.until("waiting", lambda body: bool((body["status"].get("candidate") or {}).get("waitingFor")))
        second = body["status"]["candidate"]["revision"]
        await assert_git_is_in_force(api, found, file)

        await use(api, found, "promote", f"{second}/{body['status']['candidate']['waitingFor']}")
        await found.until("promoted", lambda body: body["status"]["stable"]["revision"] == second)
        await assert_git_is_in_force(api, found, file)

        await use(api, found, "rollback", first)
        await found.until("rolled back", lambda body: body["status"]["stable"]["revision"] == first)
        await assert_git_is_in_force(api, found, file)
