"""Whom a pass asks for epochs: pods of our gateway that may still answer, and nobody whose address is not a pod's own."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.manifests import OWNER, spec_of
from rag_operator import names
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.observe import Capabilities, Observer
from rag_operator.controller.scrape import Samples, unreachable
from rag_operator.kube.resources import Resource
from rag_operator.model import codec
from rag_operator.model.plan import Leaving, Record


class Server:
    """A pipeline of which something leaves, and its pods."""

    def __init__(self, pod: dict[str, Any]) -> None:
        meta = {"name": OWNER.name, "namespace": OWNER.namespace, "uid": OWNER.uid, "generation": 1, "resourceVersion": "1"}
        record = codec.dumps(Record(stable="r", leaving=(Leaving("old", 0.0, "why"),)))
        status = RAGPipelineStatus(record=record).to_wire()
        self._pipeline, self._pod = {"metadata": meta, "spec": spec_of().to_wire(), "status": status}, pod

    async def get(self, resource: Resource, *_: object) -> dict[str, Any] | None:
        return self._pipeline if resource.plural == names.PIPELINES else {"metadata": {}, "data": {}}

    async def list(self, *_: object, **__: object) -> list[dict[str, Any]]:
        return [self._pod]


@pytest.mark.parametrize(
    ("spec", "status", "asked"),
    [
        ({}, {"phase": "Running", "podIP": "10.0.0.1"}, ["10.0.0.1"]),
        ({}, {"phase": "Succeeded", "podIP": "10.0.0.1"}, []),
        ({"nodeName": "n"}, {"phase": "Pending", "podIP": "10.0.0.1"}, []),
        ({"hostNetwork": True}, {"phase": "Running", "podIP": "192.168.0.1"}, []),
    ],
    ids=["a pod that runs", "a pod that has ended", "a pod that never started", "a pod that has the node's address"],
)
async def test_only_pods_with_an_address_of_their_own_are_asked(spec: dict[str, Any], status: dict[str, Any], asked: list[str]) -> None:
    calls: list[str] = []

    async def scrape(address: str) -> Samples | None:
        calls.append(address)
        return {}

    meta = {"name": "gateway-0", "namespace": OWNER.namespace, "uid": "u", "resourceVersion": "1"}
    server: Any = Server({"metadata": meta, "spec": spec, "status": status})
    await Observer(server, Mirror(), scrape).look(Key(OWNER.namespace, OWNER.name), Capabilities())
    assert calls == asked


@pytest.mark.parametrize(("phase", "found"), [("Pending", 0), ("Running", 1), ("Unknown", 1)])
async def test_a_pod_that_never_started_holds_nothing_and_one_that_cannot_be_asked_does(phase: str, found: int) -> None:
    meta = {"name": "gateway-0", "namespace": OWNER.namespace, "uid": "u", "resourceVersion": "1"}
    server: Any = Server({"metadata": meta, "spec": {}, "status": {"phase": phase}})
    seen = await Observer(server, Mirror(), unreachable).look(Key(OWNER.namespace, OWNER.name), Capabilities())
    assert seen is not None
    assert seen.gateways is not None
    assert len(seen.gateways.pods) == found
