"""Names, labels, annotations and keys: the one module that spells them."""

from __future__ import annotations

from typing import Final

GROUP: Final = "ragops.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
PIPELINE_KIND: Final = "RAGPipeline"
INDEX_KIND: Final = "RAGIndex"
PIPELINES: Final = "ragpipelines"
INDEXES: Final = "ragindexes"

FIELD_MANAGER: Final = "rag-operator"
INDEXER_FIELD_MANAGER: Final = "rag-indexer"
FINALIZER: Final = f"{GROUP}/external-data"
REASON_DROPPING: Final = "Dropping"  # status says what deleting waits for

# Labels. The first three are the selectors of every workload and never change.
LABEL_PIPELINE: Final = f"{GROUP}/pipeline"
LABEL_KIND: Final = f"{GROUP}/kind"  # one of the KIND_* below
LABEL_COMPONENT: Final = f"{GROUP}/component"  # the component's name; for unnamed kinds the kind itself
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_LANE: Final = f"{GROUP}/lane"
MANAGED_BY: Final = "rag-operator"

KIND_EMBEDDER: Final = "embedder"
KIND_INDEX: Final = "index"
KIND_GENERATOR: Final = "generator"
KIND_GATEWAY: Final = "gateway"
KIND_INDEXER: Final = "indexer"
KIND_MILVUS: Final = "milvus"
KIND_REVISION: Final = "revision"
KIND_ROUTING: Final = "routing"
KIND_EVALUATION: Final = "evaluation"
KIND_NETWORK: Final = "network"

# Annotations of what we own.
ANNOTATION_DIGEST: Final = f"{GROUP}/digest"  # full digest behind a hashed name
ANNOTATION_INTENT: Final = f"{GROUP}/intent"  # hash of the manifest we applied last
ANNOTATION_IN_PLACE: Final = f"{GROUP}/in-place"  # a record's newest in-place settings
ANNOTATION_LAST_VALID: Final = f"{GROUP}/last-valid"  # on a record: the spec of another revision that was wanted last
ANNOTATION_COLLECTING: Final = f"{GROUP}/collecting"  # irrevocable: this index is being dropped

# Verbs: annotations a person or a pipeline of theirs sets on a RAGPipeline.
VERB_PROMOTE: Final = f"{GROUP}/promote"
VERB_PROMOTE_FULL: Final = f"{GROUP}/promote-full"
VERB_ABORT: Final = f"{GROUP}/abort"
VERB_RETRY: Final = f"{GROUP}/retry"
VERB_ROLLBACK: Final = f"{GROUP}/rollback"
VERB_REINDEX: Final = f"{GROUP}/reindex"
VERB_APPROVE_DELETIONS: Final = f"{GROUP}/approve-deletions"
VERBS: Final = (
    VERB_PROMOTE,
    VERB_PROMOTE_FULL,
    VERB_ABORT,
    VERB_RETRY,
    VERB_ROLLBACK,
    VERB_REINDEX,
    VERB_APPROVE_DELETIONS,
)

HASH_LENGTH: Final = 10


def hashed(pipeline: str, kind: str, digest: str) -> str:
    """`<pipeline>-<kind>-<10 hex>`, the name of a component whose identity has the hexadecimal `digest`."""
    return f"{pipeline}-{kind}-{digest[:HASH_LENGTH]}"


def gateway(pipeline: str) -> str:
    """Deployment, Service and ServiceAccount of the gateway."""
    return f"{pipeline}-gateway"


def preview(pipeline: str) -> str:
    """Service of the gateway's preview port."""
    return f"{pipeline}-gateway-preview"


def indexer(pipeline: str) -> str:
    """Deployment and ServiceAccount of the syncer, ServiceAccount of the Jobs."""
    return f"{pipeline}-indexer"


def milvus(pipeline: str) -> str:
    """StatefulSet, Service and claim of a managed Milvus, or the `Milvus` object in cluster mode."""
    return f"{pipeline}-milvus"


def routing_table(pipeline: str) -> str:
    """ConfigMap with the routing table."""
    return f"{pipeline}-routing"


def labels(pipeline: str, kind: str, component: str | None = None) -> dict[str, str]:
    """Labels of a child; `component` defaults to the kind."""
    return {
        LABEL_PIPELINE: pipeline,
        LABEL_KIND: kind,
        LABEL_COMPONENT: component or kind,
        LABEL_MANAGED_BY: MANAGED_BY,
    }


def selector(pipeline: str, kind: str, component: str | None = None) -> dict[str, str]:
    """The three constant labels that select a workload's pods."""
    return {LABEL_PIPELINE: pipeline, LABEL_KIND: kind, LABEL_COMPONENT: component or kind}
