"""Which test runs which command of the pages, literally. A test takes its `Shell` by its own path and must have run all of its commands."""

from __future__ import annotations

from typing import Final

CLUSTER: Final = "tests/e2e/test_documented_commands.py"
INSTALL: Final = "tests/integration/manifests/test_documented_commands.py"
PLUGIN: Final = "tests/integration/manifests/test_documented_plugin.py"
EMBEDDER: Final = "tests/integration/embedder/test_documented_commands.py"
GATEWAY: Final = "tests/integration/gateway/test_documented_commands.py"
INDEXER: Final = "tests/integration/indexer/test_documented_commands.py"
HELP: Final = "tests/unit/documented/test_commands.py"

METRIC: Final = '"/apis/external.metrics.k8s.io/v1beta1/namespaces/NAMESPACE/queue_length?labelSelector=pipeline%3DNAME"'
LET_GO: Final = """--type=json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'"""
LET_GO_SHORT: Final = """--type=json -p '[{"op":"remove","path":"/metadata/finalizers"}]'"""
OF_PIPELINE: Final = "-l ragops.dev/pipeline=handbook -o name"

RUN_BY: Final[dict[str, tuple[str, ...]]] = {
    CLUSTER: (
        "kubectl get ragp -w",
        "kubectl get ragp -w --output-watch-events",
        "kubectl get ragi -w",
        "kubectl rag status handbook --watch",
        "kubectl describe ragp handbook",
        "kubectl wait --for=condition=Ready ragp/handbook",
        "kubectl get ragp,ragi",
        "kubectl get ragi -o yaml",
        "kubectl explain ragp.spec",
        "kubectl explain ragpipeline.spec --recursive",
        "kubectl logs deployment/handbook-indexer",
        f"kubectl get --raw {METRIC}",
        "kubectl get pvc -A -l ragops.dev/kind=milvus",
        'kubectl rag ask handbook "how much leave do I have?"',
        "kubectl rag evaluate handbook questions.jsonl",
        "kubectl rag plan pipeline.yaml",
        "kubectl rag promote handbook",
        "kubectl rag rollback handbook",
        "kubectl rag retry handbook",
        "kubectl rag abort handbook",
        "kubectl rag promote handbook --full",
        "kubectl rag approve-deletions handbook",
        "kubectl rag reindex handbook",
    ),
    INSTALL: (
        "kubectl apply --server-side -f crds/",
        "helm upgrade --install rag-operator charts/rag-operator --namespace rag-system --create-namespace",
        "kubectl -n rag-system rollout status deployment/rag-operator",
        "kubectl create namespace search",
        "kubectl apply -n search -f examples/minimal.yaml",
        "helm uninstall rag-operator --namespace rag-system",
        "helm uninstall rag-operator --namespace rag-system --no-hooks",
        "helm upgrade --install operator charts/rag-operator --namespace platform --create-namespace --take-ownership",
        f"kubectl -n NAMESPACE patch ragpipeline handbook {LET_GO}",
        f"kubectl patch ragp handbook {LET_GO_SHORT}",
        f"kubectl -n NAMESPACE get ragindex {OF_PIPELINE} | xargs -r -I{{}} kubectl -n NAMESPACE patch {{}} {LET_GO}",
        f"kubectl get ragi {OF_PIPELINE} | xargs -r -I{{}} kubectl patch {{}} {LET_GO_SHORT}",
        "kubectl delete ragpipelines --all -A",
    ),
    PLUGIN: ("pip install '.[cli]'",),
    EMBEDDER: (
        "PYTHONPATH=images/common:images/embedder RAG_MODEL=… .venv/bin/python -m rag_embedder",
        """curl -s localhost:8080/v1/embeddings -d '{"model": "minilm", "input": ["first text", "second text"]}'""",
    ),
    GATEWAY: (
        "PYTHONPATH=images/common:images/gateway RAG_TABLE_FILE=table.json .venv/bin/python -m rag_gateway",
        """curl -s localhost:8080/v1/retrieve -d '{"query": "how much leave do I have?", "k": 5, "groupBy": "document"}'""",
    ),
    INDEXER: (
        "RAG_INDEX_FILE=index.yaml RAG_STATUS_FILE=status.json RAG_SOURCES_DIR=./sources RAG_WORK_DIR=./work python -m rag_indexer build",
    ),
    HELP: ("make help", "python -m rag_operator run --help", 'eval "$(make -s cluster-env)"', "make cluster-status"),
}
