"""The indexer's settings, from the environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rag_runtime.contracts import pods
from rag_runtime.settings import PodSettings, env


class Settings(PodSettings):
    """What this process is told. `index` or `index_file` says what to work on; without Kubernetes the file is all there is."""

    index: str = env(pods.ENV_INDEX, "")
    index_file: Path | None = env(pods.ENV_INDEX_FILE, None)
    status_file: Path | None = env(pods.ENV_STATUS_FILE, None)
    cluster_uid: str = env(pods.ENV_CLUSTER_UID, "standalone")
    kubeconfig: Path | None = env("KUBECONFIG", None)
    kubernetes_host: str = env("KUBERNETES_SERVICE_HOST", "")
    kubernetes_port: str = env("KUBERNETES_SERVICE_PORT", "443")
    sources: Path = env("RAG_SOURCES_DIR", Path(pods.SOURCES_DIR))
    credentials: Path = env("RAG_CREDENTIALS_DIR", Path(pods.CREDENTIALS_DIR))
    work: Path = env("RAG_WORK_DIR", Path(tempfile.gettempdir()))
    termination_log: Path = env("RAG_TERMINATION_LOG", Path("/dev/termination-log"))

    # A build that several pods share.
    parallelism: int = env(pods.ENV_BUILD_PARALLELISM, 1, ge=1, le=1_024)
    share: int = env(pods.ENV_JOB_COMPLETION_INDEX, 0, ge=0, le=1_023)

    # An evaluation.
    evaluation_id: str = env(pods.ENV_EVALUATION_ID, "evaluation")
    gateway_url: str = env(pods.ENV_GATEWAY_URL, "")
    stable: str = env(pods.ENV_STABLE, "")
    candidate: str = env(pods.ENV_CANDIDATE, "")
    metric: str = env(pods.ENV_METRIC, "nDCG@10", pattern=r"^(nDCG@[1-9][0-9]{0,2}|Recall@[1-9][0-9]{0,2}|MRR(@[1-9][0-9]{0,2})?)$")
    questions_file: Path | None = env(pods.ENV_QUESTIONS_FILE, None)
    questions_s3: str = env(pods.ENV_QUESTIONS_S3, "")
    exact: bool = env(pods.ENV_EVALUATION_EXACT, False)
