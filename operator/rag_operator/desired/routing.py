"""The routing table: from revisions and weights to what gateways answer by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rag_operator import names
from rag_operator.api.v1alpha1.common import SecretRef
from rag_operator.api.v1alpha1.generator import Generator
from rag_operator.api.v1alpha1.store import Milvus
from rag_operator.desired import addresses, credentials
from rag_operator.desired.context import Manifest, Owner
from rag_operator.desired.meta import metadata
from rag_operator.model.revision import Revision
from rag_runtime.contracts import pods as contract
from rag_runtime.contracts.routing import (
    TABLE_KEY,
    EmbedderRoute,
    GeneratorRoute,
    IndexRoute,
    MetadataField,
    Prompt,
    Retrieval,
    Route,
    RoutingTable,
    Sampling,
)

DEFAULT_EF = 64
DEFAULT_NPROBE = 16


@dataclass(frozen=True)
class Answering:
    """A revision in the table. `fingerprint`: what its index says made its vectors, once it is known."""

    revision: Revision
    weight: int
    fingerprint: str | None = None


def routing_table(owner: Owner, routes: Iterable[Answering], *, epoch: int, salt: str) -> RoutingTable:
    """The table that says who answers. Weights must sum to 100, or to 0 when nothing can answer."""
    listed = sorted(routes, key=lambda entry: entry.revision.name)
    return RoutingTable(epoch=epoch, pipeline=owner.name, salt=salt, routes=tuple(_route(owner, entry) for entry in listed))


def config_map(owner: Owner, table: RoutingTable) -> Manifest:
    """The ConfigMap that carries the table. It is written on its own, with the resourceVersion it was read at."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, names.routing_table(owner.name), names.KIND_ROUTING),
        "data": {TABLE_KEY: table.to_json()},
    }


def directories(route: Route) -> set[str]:
    """The directories below the credentials mount that a gateway looks into when it answers by a route."""
    named = (route.embedder.credentials, route.index.credentials, route.generator.credentials if route.generator is not None else None)
    return {directory for directory in named if directory is not None}


def _route(owner: Owner, entry: Answering) -> Route:
    revision, spec = entry.revision, entry.revision.spec
    turns = spec.retrieval.query.turns
    return Route(
        revision=revision.name,
        weight=entry.weight,
        embedder=_embedder(owner, revision, entry.fingerprint),
        index=_index(owner, revision),
        generator=_generator(owner, revision, spec.generator) if spec.generator is not None else None,
        retrieval=Retrieval(top_k=spec.retrieval.top_k, query=spec.retrieval.query.mode, **({"turns": turns} if turns is not None else {})),
        prompt=_prompt(revision),
        sampling=_sampling(spec.generator),
    )


def _embedder(owner: Owner, revision: Revision, fingerprint: str | None) -> EmbedderRoute:
    chosen, external = revision.spec.embedder.chosen, revision.spec.embedder.external
    # An endpoint has no prompt of its own, so "unset" means none there.
    prefix = chosen.query_prefix if external is None else (chosen.query_prefix or "")
    return EmbedderRoute(
        url=addresses.embedder_url(owner, revision),
        model=chosen.declared[0],
        dimensions=chosen.dimensions,
        fingerprint=fingerprint if external is None else None,
        query_prefix=prefix,
        credentials=_directory(external.credentials_secret_ref if external is not None else None),
    )


def _index(owner: Owner, revision: Revision) -> IndexRoute:
    milvus = revision.spec.vector_store.milvus
    external = milvus.external
    tls = external.tls if external is not None else None
    return IndexRoute(
        address=addresses.milvus_address(owner, milvus),
        database=external.database if external is not None else "default",
        collection=revision.collection,
        metric=milvus.index.metric,
        search=search_parameters(milvus, revision.spec.retrieval.top_k),
        metadata=tuple(MetadataField(name=field.name, type=field.type) for field in revision.spec.documents.metadata),
        tls=tls is not None,
        server_name=tls.server_name if tls is not None else None,
        credentials=credentials.store_directory(external),
    )


def search_parameters(milvus: Milvus, top_k: int) -> dict[str, Any]:
    """Search parameters in Milvus's words; a graph search must look at no fewer candidates than are asked for."""
    if milvus.index.kind == "hnsw":
        return {"ef": milvus.search.ef or max(DEFAULT_EF, top_k)}
    if milvus.index.kind.startswith("ivf"):
        return {"nprobe": milvus.search.nprobe or DEFAULT_NPROBE}
    return {}


def _generator(owner: Owner, revision: Revision, spec: Generator) -> GeneratorRoute:
    external = spec.external
    if external is not None:
        return GeneratorRoute(
            url=addresses.base_url(external.url),
            model=external.model,
            max_model_len=external.max_model_len,
            credentials=_directory(external.credentials_secret_ref),
            tokenizer=False,
        )
    if spec.vllm is None or revision.generator is None:
        raise ValueError(f"revision {revision.name} says who generates in its spec, but has no generator recorded")
    url = addresses.component_url(owner, revision.generator, contract.GENERATOR_PORT)
    return GeneratorRoute(url=url, model=spec.vllm.model.name, max_model_len=spec.vllm.max_model_len)


def _prompt(revision: Revision) -> Prompt:
    generator = revision.spec.generator
    system = generator.prompt.system if generator is not None else ""
    return Prompt(system=system or None, template=revision.prompt_template)


def _sampling(generator: Generator | None) -> Sampling:
    if generator is None:
        return Sampling()
    return Sampling(temperature=generator.sampling.temperature, max_tokens=generator.sampling.max_tokens)


def _directory(reference: SecretRef | None) -> str | None:
    return reference.name if reference is not None else None
