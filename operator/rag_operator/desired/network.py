"""NetworkPolicies: everything is denied, then the connections that the parts need are allowed, and no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rag_operator import names
from rag_operator.api.v1alpha1.documents import Source
from rag_operator.api.v1alpha1.gateway import Client, Gateway
from rag_operator.api.v1alpha1.models import ModelRef
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.desired import peers
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.desired.meta import metadata
from rag_operator.desired.milvus import MILVUS_METRICS_PORT
from rag_operator.model.revision import Revision
from rag_runtime.contracts import pods as contract

WRITERS = (names.KIND_INDEXER, names.KIND_EVALUATION)


def policies(owner: Owner, newest: RAGPipelineSpec, kept: Sequence[Revision], surroundings: Surroundings) -> list[Manifest]:
    """Every policy of a pipeline. `kept`: the revisions that may be answered by or written for."""
    specs = [revision.spec for revision in kept]
    return [
        _policy(owner, "default", {}, ingress=[], egress=[peers.dns(surroundings)]),
        _gateway(owner, newest.gateway, specs, surroundings),
        _embedder(owner, specs, surroundings),
        *_generator(owner, specs, surroundings),
        *_milvus(owner, newest, surroundings),
        _indexer(owner, newest, specs, surroundings),
        _evaluation(owner, newest, specs, surroundings),
    ]


def _policy(owner: Owner, kind: str, selector: Mapping[str, str], *, ingress: Sequence[Manifest], egress: Sequence[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        # Not the labels of the part it is about: a policy is none of its pieces, and goes when nothing asks for it.
        "metadata": metadata(owner, f"{owner.name}-{kind}", names.KIND_NETWORK, kind),
        "spec": {
            "podSelector": {"matchLabels": {names.LABEL_PIPELINE: owner.name, **selector}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": list(ingress),
            "egress": _unique(egress),
        },
    }


def _of_kind(owner: Owner, kind: str, *, ingress: Sequence[Manifest], egress: Sequence[Manifest]) -> Manifest:
    return _policy(owner, kind, {names.LABEL_KIND: kind}, ingress=ingress, egress=egress)


def _gateway(owner: Owner, gateway: Gateway, specs: Iterable[RAGPipelineSpec], surroundings: Surroundings) -> Manifest:
    operator = peers.pods_of(surroundings.operator_namespace, surroundings.operator_labels)
    scraped = {"from": [*operator, *peers.namespaces(*surroundings.scraper_namespaces)], "ports": peers.tcp(contract.METRICS_PORT)}
    preview = {"from": peers.own(owner, names.KIND_EVALUATION), "ports": peers.tcp(contract.GATEWAY_PREVIEW_PORT)}
    answering = [rule for spec in specs for rule in (*_to_embedder(owner, spec), *_to_generator(owner, spec), *_to_milvus(owner, spec))]
    return _of_kind(
        owner,
        names.KIND_GATEWAY,
        ingress=[_clients(gateway.clients), preview, scraped],
        egress=[*answering, peers.api_server(surroundings)],
    )


def _clients(clients: Iterable[Client] | None) -> Manifest:
    ports = peers.tcp(contract.GATEWAY_PORT)
    if clients is None:
        return {"ports": ports}
    return {"from": [_client(client) for client in clients], "ports": ports}


def _client(client: Client) -> Manifest:
    wire = client.to_wire()
    return {"ipBlock": {"cidr": wire["cidr"]}} if "cidr" in wire else wire


def _embedder(owner: Owner, specs: Iterable[RAGPipelineSpec], surroundings: Surroundings) -> Manifest:
    callers = {"from": peers.own(owner, names.KIND_GATEWAY, *WRITERS), "ports": peers.tcp(contract.EMBEDDER_PORT)}
    hubs = [rule for spec in specs if spec.embedder.local is not None for rule in _to_hub(owner, spec.embedder.local.model)]
    return _of_kind(owner, names.KIND_EMBEDDER, ingress=[callers, _scraped(surroundings, contract.METRICS_PORT)], egress=hubs)


def _generator(owner: Owner, specs: Sequence[RAGPipelineSpec], surroundings: Surroundings) -> list[Manifest]:
    ours = [spec.generator.vllm for spec in specs if spec.generator is not None and spec.generator.vllm is not None]
    if not ours:
        return []
    # vLLM serves metrics on the port of its API, so who scrapes it may also ask it: nobody else may.
    callers = {"from": peers.own(owner, names.KIND_GATEWAY), "ports": peers.tcp(contract.GENERATOR_PORT)}
    hubs = [rule for vllm in ours for rule in _to_hub(owner, vllm.model)]
    return [_of_kind(owner, names.KIND_GENERATOR, ingress=[callers, _scraped(surroundings, contract.GENERATOR_PORT)], egress=hubs)]


def _milvus(owner: Owner, spec: RAGPipelineSpec, surroundings: Surroundings) -> list[Manifest]:
    milvus = spec.vector_store.milvus
    if milvus.external is not None:
        return []
    callers = {"from": peers.own(owner, names.KIND_GATEWAY, *WRITERS), "ports": peers.tcp(contract.MILVUS_PORT)}
    ingress = [callers, _scraped(surroundings, MILVUS_METRICS_PORT)]
    if milvus.cluster is None:
        return [_of_kind(owner, names.KIND_MILVUS, ingress=ingress, egress=[])]
    # Its parts talk to each other, to its etcd and to its object store, on ports that milvus-operator chooses.
    inside = peers.own(owner, names.KIND_MILVUS)
    egress = [{"to": [*inside, {"podSelector": {}}, *peers.anywhere()]}]
    return [_of_kind(owner, names.KIND_MILVUS, ingress=[*ingress, {"from": inside}], egress=egress)]


def _indexer(owner: Owner, newest: RAGPipelineSpec, specs: Iterable[RAGPipelineSpec], surroundings: Surroundings) -> Manifest:
    egress = [rule for spec in specs for rule in (*_to_embedder(owner, spec), *_to_milvus(owner, spec))]
    egress += [rule for source in newest.sources for rule in _to_source(owner, source)]
    scraped = _scraped(surroundings, contract.METRICS_PORT)
    return _of_kind(owner, names.KIND_INDEXER, ingress=[scraped], egress=[*egress, peers.api_server(surroundings)])


def _evaluation(owner: Owner, newest: RAGPipelineSpec, specs: Iterable[RAGPipelineSpec], surroundings: Surroundings) -> Manifest:
    preview = {"to": peers.own(owner, names.KIND_GATEWAY), "ports": peers.tcp(contract.GATEWAY_PREVIEW_PORT)}
    exact = [rule for spec in specs for rule in (*_to_embedder(owner, spec), *_to_milvus(owner, spec))]
    questions = newest.rollout.evaluation.question_set.s3 if newest.rollout.evaluation is not None else None
    fetched = _at(owner, questions.endpoint) if questions is not None else []
    egress = [preview, *exact, *fetched, peers.api_server(surroundings)]
    return _of_kind(owner, names.KIND_EVALUATION, ingress=[], egress=egress)


def _scraped(surroundings: Surroundings, port: int) -> Manifest:
    return {"from": peers.namespaces(*surroundings.scraper_namespaces), "ports": peers.tcp(port)}


def _to_embedder(owner: Owner, spec: RAGPipelineSpec) -> list[Manifest]:
    if spec.embedder.external is not None:
        return peers.url(owner, spec.embedder.external.url)
    return [{"to": peers.own(owner, names.KIND_EMBEDDER), "ports": peers.tcp(contract.EMBEDDER_PORT)}]


def _to_generator(owner: Owner, spec: RAGPipelineSpec) -> list[Manifest]:
    if spec.generator is None:
        return []
    if spec.generator.external is not None:
        return peers.url(owner, spec.generator.external.url)
    return [{"to": peers.own(owner, names.KIND_GENERATOR), "ports": peers.tcp(contract.GENERATOR_PORT)}]


def _to_milvus(owner: Owner, spec: RAGPipelineSpec) -> list[Manifest]:
    external = spec.vector_store.milvus.external
    if external is not None:
        return peers.address(owner, external.address)
    return [{"to": peers.own(owner, names.KIND_MILVUS), "ports": peers.tcp(contract.MILVUS_PORT)}]


def _to_hub(owner: Owner, model: ModelRef) -> list[Manifest]:
    hub = model.source.hugging_face
    return [] if hub is None else _at(owner, hub.endpoint)


def _to_source(owner: Owner, source: Source) -> list[Manifest]:
    if source.s3 is not None:
        return _at(owner, source.s3.endpoint)
    return peers.url(owner, source.git.url) if source.git is not None else []


def _at(owner: Owner, endpoint: str | None) -> list[Manifest]:
    # Without an endpoint it is the public hub or the cloud's own store: somewhere outside, over TLS.
    return peers.url(owner, endpoint) if endpoint is not None else [{"to": peers.anywhere(), "ports": peers.tcp(443)}]


def _unique(rules: Iterable[Manifest]) -> list[Manifest]:
    found: list[Manifest] = []
    for rule in rules:
        if rule not in found:
            found.append(rule)
    return found
