"""Ports, paths and environment variables of the data-plane pods: what the operator renders and the images read."""

from __future__ import annotations

# Ports. Every image serves /healthz, /readyz and /metrics on METRICS_PORT; serving ports are the others.
EMBEDDER_PORT = 8080
GATEWAY_PORT = 8080
GATEWAY_PREVIEW_PORT = 8081
GENERATOR_PORT = 8000  # vLLM's own: API, /health and /metrics
METRICS_PORT = 9090
MILVUS_PORT = 19530

# Paths.
MODEL_DIR = "/models"  # where a model's volume is mounted
MODEL_CACHE_DIR = "/var/cache/rag"  # writable; survives pods when a claim backs it
SOURCES_DIR = "/sources"  # PVC sources are mounted at SOURCES_DIR/<source name>
CREDENTIALS_DIR = "/etc/rag/credentials"  # Secrets, at CREDENTIALS_DIR/<secret name>/<key>
API_KEYS_DIR = "/etc/rag/api-keys"  # the gateway's API keys: one file a key, named by its owner
QUESTIONS_DIR = "/questions"  # the evaluation's question set

# Environment of all images.
ENV_NAMESPACE = "RAG_NAMESPACE"
ENV_PIPELINE = "RAG_PIPELINE"
ENV_COMPONENT = "RAG_COMPONENT"  # the embedder's or generator's component name; metrics carry it
ENV_POD = "RAG_POD"
ENV_LOG_LEVEL = "RAG_LOG_LEVEL"
ENV_GRACE_SECONDS = "RAG_GRACE_SECONDS"  # the pod's terminationGracePeriodSeconds
ENV_DRAIN_SECONDS = "RAG_DRAIN_SECONDS"  # how long a pod that ends still accepts connections; default 3
ENV_METRICS_PORT = "RAG_METRICS_PORT"  # default METRICS_PORT; 0 picks a free one (tests)
ENV_PORT = "RAG_PORT"  # the serving port, default the part's own above; 0 picks a free one (tests)
ENV_MODEL_CACHE = "RAG_MODEL_CACHE"  # where models from a hub are kept; default MODEL_CACHE_DIR

# Embedder.
ENV_MODEL = "RAG_MODEL"  # a directory, or a hub id
ENV_MODEL_NAME = "RAG_MODEL_NAME"  # the name clients ask for
ENV_MODEL_REVISION = "RAG_MODEL_REVISION"  # commit of a hub id
ENV_DIMENSIONS = "RAG_DIMENSIONS"
ENV_PRECISION = "RAG_PRECISION"  # Auto | Float32 | Int8
ENV_MAX_WAIT = "RAG_BATCH_MAX_WAIT"  # durations as in the API: 5ms
ENV_MAX_BATCH_TOKENS = "RAG_BATCH_MAX_TOKENS"
ENV_MAX_QUEUE = "RAG_MAX_QUEUE"
ENV_MAX_BULK_BATCH = "RAG_MAX_BULK_BATCH"

# Gateway.
ENV_TABLE_CONFIGMAP = "RAG_TABLE_CONFIGMAP"  # follow this ConfigMap ...
ENV_TABLE_FILE = "RAG_TABLE_FILE"  # ... or this file, when run alone

# Indexer.
ENV_INDEX = "RAG_INDEX"  # the RAGIndex a Job works for
ENV_INDEX_FILE = "RAG_INDEX_FILE"  # or a RAGIndex manifest in a file, when run alone
ENV_STATUS_FILE = "RAG_STATUS_FILE"  # where the status goes when run alone
ENV_CLUSTER_UID = "RAG_CLUSTER_UID"  # uid of the namespace kube-system: part of the owner that a collection's properties name
ENV_BUILD_PARALLELISM = "RAG_BUILD_PARALLELISM"  # number of pods that share a build
ENV_JOB_COMPLETION_INDEX = "JOB_COMPLETION_INDEX"  # Kubernetes' own, in an Indexed Job

# Evaluation.
ENV_EVALUATION_ID = "RAG_EVALUATION_ID"
ENV_GATEWAY_URL = "RAG_GATEWAY_URL"  # the preview port
ENV_STABLE = "RAG_STABLE"  # revisions
ENV_CANDIDATE = "RAG_CANDIDATE"
ENV_METRIC = "RAG_METRIC"  # nDCG@k | Recall@k | MRR
ENV_QUESTIONS_FILE = "RAG_QUESTIONS_FILE"
ENV_QUESTIONS_S3 = "RAG_QUESTIONS_S3"  # JSON of an S3 location, instead of a file
ENV_EVALUATION_EXACT = "RAG_EVALUATION_EXACT"  # 1: compare with exact search (the layout changed, nothing else)
