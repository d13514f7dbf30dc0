"""Operator and indexer must agree about RAGIndex without sharing code: what one writes the other reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rag_operator.api.v1alpha1 import index as api
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.rollout.identity import declared_index
from rag_runtime.contracts import index as contract
from rag_runtime.contracts import index_status as status_contract

EXAMPLES = [path for path in sorted((Path(__file__).parents[4] / "examples").glob("*.yaml")) if "RAGPipeline" in path.read_text()]


def written(spec: RAGPipelineSpec) -> api.RAGIndexSpec:
    return api.RAGIndexSpec(
        pipeline_ref=api.PipelineRef(name="handbook", uid="u"),
        identity=declared_index(spec, None),
        collection="rag_1",
        sources=spec.sources,
        metadata_fields=spec.documents.metadata,
        max_delete_fraction=spec.documents.max_delete_fraction,
        max_document_size=spec.documents.max_document_size,
        embedder=api.EmbedderAccess(url="http://embedder:8080", model="m", dimensions=384),
        milvus=api.MilvusAccess(address="milvus:19530"),
        work=api.Work.model_validate({"mode": "Copy", "from": {"index": "i", "collection": "rag_0", "dimensions": 384}, "attempt": 2}),
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_indexer_reads_what_the_operator_writes(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if document and document["kind"] == "RAGPipeline":
            spec = RAGPipelineSpec.model_validate(document["spec"])
            read = contract.IndexSpec.model_validate(written(spec).to_wire())
            assert [source.name for source in read.sources] == [source.name for source in spec.sources]
            assert [source.sync_interval for source in read.sources] == [source.sync_interval.seconds for source in spec.sources]
            assert read.max_delete_fraction == pytest.approx(spec.documents.max_delete_fraction.fraction)
            assert read.max_document_size == int(spec.documents.max_document_size.value)
            assert read.identity.content.chunking.max_tokens == spec.documents.chunking.max_tokens
            assert [field.name for field in read.metadata_fields] == [field.name for field in spec.documents.metadata]
            assert read.work.to_wire() == written(spec).work.to_wire()


def test_the_operator_reads_what_the_indexer_writes() -> None:
    listing = status_contract.Listing(id="s-1-ab", start_time=status_contract.timestamp(1_795_000_000.7), duration=1.5)
    status = status_contract.IndexStatus(
        acknowledged=status_contract.Work(mode="Sync"),
        completed=status_contract.Work(mode="Build", attempt=1),
        build=status_contract.Build(documents=3, chunks=9, total=3, rate=1.5, start_time=status_contract.timestamp(0), message="x" * 3_000),
        sync=status_contract.Sync(
            listing=listing,
            sources=(status_contract.SourceSync(name="s", listing=listing, documents=3, error="e"),),
            failed=(status_contract.FailedDocument(id="s/a", reason="r"),),
            failed_count=1,
            deletion_held=status_contract.DeletionHeld(listing="s-1-ab", documents=2, of=3),
            oldest_pending=status_contract.timestamp(5),
        ),
        observed=status_contract.Observed(probes="Equal", shards=1, loaded=True, ignored=("shards: 4 asked for",)),
    )
    read = api.RAGIndexStatus.model_validate(status.to_wire())
    assert read.sync is not None
    assert read.sync.listing is not None
    assert read.sync.listing.start_time.instant.year == 2026
    assert read.build is not None
    assert len(read.build.message) <= 1_024
    assert read.to_wire()["sync"] == status.to_wire()["sync"]


def test_a_reader_ignores_what_a_later_operator_adds() -> None:
    work = status_contract.Work.model_validate({"mode": "Sync", "attempt": 1, "hurry": True})
    assert work.to_wire() == {"mode": "Sync", "attempt": 1}
