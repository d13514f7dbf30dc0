"""Gateways are asked for their epochs as long as anything is to be taken away, and not at rest."""

from __future__ import annotations

import pytest

from rag_operator import names
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.controller.observe import _epochs_matter
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import DEPLOYMENTS, INDEXES, Resource
from rag_operator.model.plan import Leaving, Record

STATUS = RAGPipelineStatus.model_validate({"stable": {"revision": "r", "embedder": "e", "index": "i"}})


def child(resource: Resource, component: str, kind: str) -> Child:
    meta = {"name": component, "namespace": "n", "uid": component, "resourceVersion": "1", "labels": names.labels("p", kind, component)}
    return reduce(resource, {"metadata": meta})


STABLE = (child(DEPLOYMENTS, "e", "embedder"), child(INDEXES, "i", "index"), child(DEPLOYMENTS, "gateway", "gateway"))


@pytest.mark.parametrize(
    ("more", "record", "expected"),
    [
        ((), Record(stable="r"), False),
        ((), Record(stable="r", leaving=(Leaving("old", 0.0, "why"),)), True),
        ((child(INDEXES, "old", "index"),), Record(stable="r"), True),
        ((child(DEPLOYMENTS, "old", "embedder"),), Record(stable="r"), True),
        ((child(DEPLOYMENTS, "old", "generator"),), Record(stable="r"), True),
    ],
    ids=["at rest", "a revision leaves", "its index still stands", "its embedder still stands", "its generator still stands"],
)
def test_gateways_are_asked_until_the_last_piece_is_gone(more: tuple[Child, ...], record: Record, *, expected: bool) -> None:
    children = {(one.kind, one.name): one for one in (*STABLE, *more)}
    assert bool(_epochs_matter(STATUS, record, children)) is expected
