"""The gateway: Deployment, public and preview Service, Ingress, disruption budget, and the right to read its one routing table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rag_operator import names
from rag_operator.api.v1alpha1.gateway import Ingress
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.desired import credentials
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.desired.meta import disruption_budget, metadata, service
from rag_operator.desired.permissions import gateway_rules, granted
from rag_operator.desired.pods import METRICS, Container, Volume, http_probe, own_environment, pod_template, scratch
from rag_operator.desired.workloads import deployment
from rag_operator.model.revision import Revision
from rag_runtime.contracts import pods as contract

KIND = names.KIND_GATEWAY
LEAST_GRACE = 60  # seconds; a stream of a generator of ours may take as long as its own drain
DEFAULT_RESOURCES = {"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "1Gi"}}


def children(
    owner: Owner,
    spec: RAGPipelineSpec,
    image: str,
    kept: Iterable[Revision],
    surroundings: Surroundings,
    *,
    standing: Iterable[credentials.Part] = (),
) -> list[Manifest | None]:
    """Everything that the gateway consists of.

    `kept`: the revisions it may have to answer by; `standing`: what the routing table still names of what it has mounted.
    """
    name = names.gateway(owner.name)
    settings = spec.gateway.service
    return [
        *granted(owner, name, KIND, gateway_rules(names.routing_table(owner.name)), spec.gateway.pod.service_account_name),
        service(
            owner,
            name,
            KIND,
            None,
            {"http": (settings.port, "http")},
            service_type=settings.type,
            annotations=settings.annotations,
        ),
        service(owner, names.preview(owner.name), KIND, None, {"preview": (contract.GATEWAY_PREVIEW_PORT, "preview")}),
        _deployment(owner, spec, image, list(kept), surroundings, standing=standing),
        disruption_budget(owner, name, KIND),
        ingress(owner, spec.gateway.ingress, settings.port),
    ]


def grace_seconds(revisions: Iterable[Revision]) -> int:
    """How long a gateway that ends may finish its answers: as long as the slowest generator of ours may."""
    generators = [revision.spec.generator.vllm for revision in revisions if revision.spec.generator is not None]
    return max([LEAST_GRACE, *(int(vllm.drain_timeout.seconds) for vllm in generators if vllm is not None)])


def _deployment(
    owner: Owner,
    spec: RAGPipelineSpec,
    image: str,
    kept: Sequence[Revision],
    surroundings: Surroundings,
    *,
    standing: Iterable[credentials.Part],
) -> Manifest:
    grace = grace_seconds(kept)
    name = names.gateway(owner.name)
    container = Container(
        name=KIND,
        image=image,
        environment={
            **own_environment(owner, surroundings, KIND, grace),
            contract.ENV_TABLE_CONFIGMAP: names.routing_table(owner.name),
        },
        ports={"http": contract.GATEWAY_PORT, "preview": contract.GATEWAY_PREVIEW_PORT, METRICS: contract.METRICS_PORT},
        probes=_probes(),
        resources=DEFAULT_RESOURCES,
    )
    template = pod_template(
        owner,
        KIND,
        None,
        container,
        spec.gateway.pod,
        surroundings=surroundings,
        volumes=_volumes(spec, kept, standing),
        grace=grace + 5,
        service_account=name,
    )
    return deployment(owner, name, KIND, None, template, replicas=spec.gateway.replicas)


def _volumes(spec: RAGPipelineSpec, kept: Iterable[Revision], standing: Iterable[credentials.Part]) -> list[Volume]:
    parts = [part for revision in kept for part in credentials.of_answering(revision.spec)]
    directories = {part.directory for part in parts}
    # Whoever renamed a Secret may have deleted the old one already: that must not keep pods with the new one from starting.
    former = [replace(part, optional=True) for part in standing if part.directory not in directories]
    found = [scratch("tmp", "/tmp"), *credentials.volumes([*parts, *former])]
    if spec.gateway.auth is not None:
        source = {"secret": {"secretName": spec.gateway.auth.api_keys_secret_ref.name}}
        found.append(Volume("api-keys", source, contract.API_KEYS_DIR, read_only=True))
    return found


def _probes() -> Manifest:
    return {
        # Ready only with a routing table, which comes when there is something to answer by: the start is judged by health alone.
        "startupProbe": http_probe("/healthz", METRICS, period=1, failures=120),
        "readinessProbe": http_probe("/readyz", METRICS, period=2, failures=2),
        "livenessProbe": http_probe("/healthz", METRICS, period=10, failures=6, timeout=5),
    }


def ingress(owner: Owner, spec: Ingress | None, port: int) -> Manifest | None:
    """The Ingress before the gateway's Service."""
    if spec is None:
        return None
    name = names.gateway(owner.name)
    backend = {"service": {"name": name, "port": {"number": port}}}
    rule = {"host": spec.host, "http": {"paths": [{"path": spec.path, "pathType": "Prefix", "backend": backend}]}}
    found: Manifest = {"rules": [rule]}
    if spec.class_name:
        found["ingressClassName"] = spec.class_name
    if spec.tls_secret_name:
        found["tls"] = [{"hosts": [spec.host], "secretName": spec.tls_secret_name}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(owner, name, KIND, annotations=spec.annotations),
        "spec": found,
    }
