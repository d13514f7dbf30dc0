"""Settings of the operator's process, from environment variables `RAG_OPERATOR_<NAME>`; each says its unit and why it is what it is."""

from __future__ import annotations

import socket
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# Versions of our own images that pipelines may ask for, oldest first. Only ever appended to: an upgrade must not refuse what runs.
RUNTIMES = ("0.1",)
VERSION = RUNTIMES[-1]

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """Everything that is not in a RAGPipeline."""

    model_config = SettingsConfigDict(env_prefix="RAG_OPERATOR_", extra="ignore", frozen=True)

    # Where it looks and who it is.
    namespaces: Annotated[tuple[str, ...], NoDecode] = ()  # comma-separated; empty: the whole cluster
    kubeconfig: str | None = None  # a file; unset: the pod's service account, else the user's own kubeconfig
    namespace: str = "rag-system"  # the operator's own: its Lease lives here
    identity: str = Field(default_factory=socket.gethostname)  # of this replica, in the Lease
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Images of the data plane. `{version}` is a pipeline's runtime.version.
    image_embedder: str = "ragops.dev/embedder:{version}"
    image_embedder_gpu: str = "ragops.dev/embedder-gpu:{version}"  # where the pod asks for a GPU
    image_gateway: str = "ragops.dev/gateway:{version}"
    image_indexer: str = "ragops.dev/indexer:{version}"
    image_milvus: str = "milvusdb/milvus:v2.6.4"
    image_vllm: str = "vllm/vllm-openai:v0.11.0"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"

    # Leadership (design: 15/10/2). A write may take `write_timeout`, so the sum of it and the renew deadline stays within the duration.
    leader_election: bool = True
    lease_name: str = "rag-operator"
    lease_duration: Seconds = 15.0
    renew_deadline: Seconds = 10.0
    retry_period: Seconds = 2.0

    # The API server.
    read_timeout: Seconds = 20.0
    write_timeout: Seconds = 5.0
    page_size: Annotated[int, Field(ge=10, le=5000)] = 500  # objects a page; bounds memory at start
    connections: Annotated[int, Field(ge=1, le=200)] = 32

    # The queue.
    workers: Annotated[int, Field(ge=1, le=100)] = 8  # pipelines reconciled at once
    backoff_first: Seconds = 0.5  # after the first failure; doubles up to backoff_limit
    backoff_limit: Seconds = 60.0
    look_again: Seconds = 600.0  # referenced ConfigMaps are read at least this often
    resync: Seconds = 300.0  # the mirror is compared with the cluster: finds what a watch lost
    stalled_after: Seconds = 180.0  # a watch or the queue behind by so long makes the probe fail

    # Gateways of our own are asked for their epochs. `off` where their pods cannot be reached: then nothing is collected.
    gateway_scrape: Literal["on", "off"] = "on"
    gateway_scrape_timeout: Seconds = 2.0
    deletion_give_up: Seconds = 900.0  # how long deleting waits for an external store before it lets go

    # Networks that NetworkPolicies name.
    api_server_cidrs: Annotated[tuple[str, ...], NoDecode] = ()  # empty: from the `kubernetes` EndpointSlice
    operator_labels: Annotated[tuple[str, ...], NoDecode] = ()  # `key=value` of the operator's own pods; empty: the chart's
    scraper_namespaces: Annotated[tuple[str, ...], NoDecode] = ()  # where Prometheus runs; empty: metrics are open to every namespace
    dns_cidrs: Annotated[tuple[str, ...], NoDecode] = ()  # a node-local DNS cache, beside the cluster's own DNS pods

    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 9090  # 0: a free one
    metrics_host: str = "0.0.0.0"

    @model_validator(mode="before")
    @classmethod
    def _split(cls, values: dict[str, object]) -> dict[str, object]:
        listed = ("namespaces", "api_server_cidrs", "operator_labels", "scraper_namespaces", "dns_cidrs")
        return {name: _words(value) if name in listed and isinstance(value, str) else value for name, value in values.items()}

    @model_validator(mode="after")
    def _lease_is_safe(self) -> Self:
        if self.renew_deadline + self.write_timeout > self.lease_duration:
            raise ValueError(
                f"renew_deadline + write_timeout must not exceed lease_duration: {self.renew_deadline} + {self.write_timeout} "
                f"> {self.lease_duration}; a write in flight could outlive the lease"
            )
        if self.retry_period >= self.renew_deadline:
            raise ValueError(f"retry_period must be below renew_deadline: {self.retry_period} >= {self.renew_deadline}")
        return self


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
