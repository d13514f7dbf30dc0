"""A look at the pipeline of tests, as a pass takes it: what is not said is empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from doubles.manifests import OWNER
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.controller.mirror import Key
from rag_operator.controller.observe import Seen
from rag_operator.kube.child import Child
from rag_operator.model.plan import Record


def seen_of(spec: RAGPipelineSpec | None, children: Iterable[Child], *, record: Record | None = None, **more: Any) -> Seen:
    """The pipeline with these children; `more` are other fields of `Seen`."""
    empty = {"violations": (), "status": RAGPipelineStatus()}
    return Seen(
        key=Key(OWNER.namespace, OWNER.name),
        body={"metadata": {"uid": OWNER.uid, "generation": 1, "name": OWNER.name, "namespace": OWNER.namespace}},
        spec=spec,
        record=record or Record(),
        children={(child.kind, child.name): child for child in children},
        **{**empty, **more},
    )
