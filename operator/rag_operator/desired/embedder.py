"""A local embedder: Deployment, Service, disruption budget, autoscaler. An external one has no children."""

from __future__ import annotations

from rag_operator import names
from rag_operator.api.v1alpha1.embedder import LocalEmbedder
from rag_operator.desired import autoscaling
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.desired.meta import disruption_budget, service
from rag_operator.desired.models import weights
from rag_operator.desired.pods import METRICS, Container, http_probe, own_environment, pod_template
from rag_operator.desired.sizing import Size
from rag_operator.desired.workloads import of_component
from rag_operator.model.revision import Component
from rag_runtime.contracts import metrics
from rag_runtime.contracts import pods as contract

KIND = names.KIND_EMBEDDER
GRACE = 30  # seconds; a batch takes milliseconds, the rest is for load balancers to notice
LOADING = 1800  # seconds a large model may take to arrive and load
DEFAULT_RESOURCES = {"requests": {"cpu": "100m", "memory": "768Mi"}, "limits": {"memory": "4Gi"}}


def children(
    owner: Owner,
    component: Component,
    spec: LocalEmbedder | None,
    *,
    image: str,
    size: Size,
    lane: autoscaling.Lane,
    surroundings: Surroundings,
) -> list[Manifest | None]:
    """Everything that one embedder consists of."""
    if spec is None:
        return []
    return [
        service(owner, component.name, KIND, component.name, {"http": (contract.EMBEDDER_PORT, "http")}),
        _deployment(owner, component, spec, image=image, size=size, surroundings=surroundings),
        autoscaling.autoscaler(owner, KIND, component.name, size, queue=metrics.QUEUE_EMBEDDING, lane=lane),
        disruption_budget(owner, component.name, KIND, component.name),
    ]


def _deployment(owner: Owner, component: Component, spec: LocalEmbedder, *, image: str, size: Size, surroundings: Surroundings) -> Manifest:
    found = weights(owner, KIND, spec.model, spec.model_cache, surroundings)
    container = Container(
        name=KIND,
        image=image,
        environment={
            **own_environment(owner, surroundings, component.name, GRACE),
            contract.ENV_MODEL: found.location,
            **_model_environment(spec),
            **found.environment,
        },
        references=found.references,
        ports={"http": contract.EMBEDDER_PORT, METRICS: contract.METRICS_PORT},
        probes=_probes(),
        resources=DEFAULT_RESOURCES,
    )
    template = pod_template(owner, KIND, component.name, container, spec.pod, surroundings=surroundings, volumes=found.volumes, grace=GRACE)
    return of_component(owner, component, template, replicas=size.replicas, progress_deadline=LOADING + 300)


def _model_environment(spec: LocalEmbedder) -> dict[str, str]:
    batching = spec.batching
    return {
        contract.ENV_MODEL_NAME: spec.model.name,
        contract.ENV_MODEL_REVISION: spec.model.revision,
        contract.ENV_DIMENSIONS: str(spec.dimensions),
        contract.ENV_PRECISION: spec.precision,
        contract.ENV_MAX_WAIT: str.__str__(batching.max_wait),
        contract.ENV_MAX_BATCH_TOKENS: str(batching.max_batch_tokens),
        contract.ENV_MAX_QUEUE: str(batching.max_queue),
        contract.ENV_MAX_BULK_BATCH: str.__str__(batching.max_bulk_batch),
    }


def _probes() -> Manifest:
    return {
        # Until the model is loaded nothing but this looks, so a large one is waited for and not killed.
        "startupProbe": http_probe("/readyz", METRICS, period=2, failures=LOADING // 2),
        "readinessProbe": http_probe("/readyz", METRICS, period=2, failures=2),
        "livenessProbe": http_probe("/healthz", METRICS, period=10, failures=6, timeout=5),
    }
