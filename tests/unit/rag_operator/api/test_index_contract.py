"""Operator and indexers mean the same by a RAGIndex: what the images read and write are fields of the API, all that matters is read."""

from __future__ import annotations

import pytest

from rag_indexer.evaluate.asking import Reply
from rag_indexer.evaluate.metrics import metric
from rag_indexer.evaluate.questions import Question
from rag_indexer.evaluate.report import report
from rag_operator.api.fields import leaves
from rag_operator.api.rules import camel
from rag_operator.api.v1alpha1.index import RAGIndexSpec, RAGIndexStatus
from rag_operator.api.v1alpha1.index_status import EvaluationResult
from rag_runtime.contracts.index import IndexSpec
from rag_runtime.contracts.index_status import IndexStatus

# Not for indexers: who the pipeline is, what the operator derives, what only people read; a flat index has nothing to read.
NOT_READ = {"pipelineRef.uid", "sources[].maxStaleness", "identity.content.reindex", "identity.layout.index.flat"}
# The reader has one class for all clustered indexes.
READ_AS_DEFAULT = {f"identity.layout.index.{kind}.{name}" for kind in ("ivfFlat", "ivfSq8") for name in ("m", "nbits")}
DERIVED = "conditions"
REPORTS = "evaluations"


def paths(model: type) -> set[str]:
    return {leaf.path for leaf in leaves(model)}


def test_indexers_read_only_fields_that_exist() -> None:
    assert paths(IndexSpec) - paths(RAGIndexSpec) == READ_AS_DEFAULT


def test_indexers_read_everything_that_is_meant_for_them() -> None:
    assert paths(RAGIndexSpec) - paths(IndexSpec) == NOT_READ


def test_indexers_write_only_fields_that_exist_and_all_that_the_operator_waits_for() -> None:
    written = {path for path in paths(IndexStatus) if not path.startswith(REPORTS)}
    known = {path for path in paths(RAGIndexStatus) if not path.startswith((DERIVED, REPORTS))}
    assert written == known


@pytest.mark.parametrize("error", ["", "timed out"], ids=["answered", "not answered"])
def test_nothing_of_an_evaluations_report_is_lost_in_the_status(error: str) -> None:
    questions = [Question("1", "what", {"docs/a": 1}), Question("2", "why", {"docs/b": 1})]
    stable = [Reply(("docs/a",), 0.1), Reply(("docs/b",), 0.1)]
    candidate = [Reply(("docs/a",), 0.1, error), Reply(("docs/b",), 0.2, error)]
    made = {"id": "evaluation-1", **report(questions, ("a", stable), ("b", candidate), metric("nDCG@10"))}
    assert set(made) <= {camel(field) for field in EvaluationResult.model_fields}
    stored = EvaluationResult.model_validate(made).to_wire()
    assert {key: stored[key] for key in made} == made
