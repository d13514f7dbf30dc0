"""Where the parts find each other: Services of our own, or what the spec names."""

from __future__ import annotations

from rag_operator import names
from rag_operator.api.v1alpha1.index import EmbedderAccess, MilvusAccess
from rag_operator.api.v1alpha1.store import Milvus
from rag_operator.desired.context import Owner
from rag_operator.model.revision import Component, Revision
from rag_runtime.contracts import pods as contract


def component_url(owner: Owner, component: Component, port: int) -> str:
    """Base URL of a component's Service, without `/v1`."""
    return f"http://{owner.host(component.name)}:{port}"


def base_url(url: str) -> str:
    """An address from the spec, without `/v1`, which clients add themselves."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def preview_url(owner: Owner) -> str:
    """Base URL of the gateway's preview port."""
    return f"http://{owner.host(names.preview(owner.name))}:{contract.GATEWAY_PREVIEW_PORT}"


def embedder_url(owner: Owner, revision: Revision) -> str:
    """Base URL of the embeddings API of a revision, without `/v1`."""
    external = revision.spec.embedder.external
    return base_url(external.url) if external is not None else component_url(owner, revision.embedder, contract.EMBEDDER_PORT)


def milvus_address(owner: Owner, milvus: Milvus) -> str:
    """`host:port` of Milvus."""
    if milvus.external is not None:
        return milvus.external.address
    # milvus-operator calls its Service after the object, with a suffix of its own.
    suffix = "-milvus" if milvus.cluster is not None else ""
    return f"{owner.host(names.milvus(owner.name) + suffix)}:{contract.MILVUS_PORT}"


def embedder_access(owner: Owner, revision: Revision) -> EmbedderAccess:
    """How indexers reach the embedder of a revision."""
    chosen, external = revision.spec.embedder.chosen, revision.spec.embedder.external
    # An endpoint has no prompts of its own, so "unset" means none there, as in the identity and in the routing table.
    unset = None if external is None else ""
    return EmbedderAccess(
        url=embedder_url(owner, revision),
        model=chosen.declared[0],
        dimensions=chosen.dimensions,
        max_input_tokens=external.max_input_tokens if external is not None else None,
        query_prefix=unset if chosen.query_prefix is None else chosen.query_prefix,
        document_prefix=unset if chosen.document_prefix is None else chosen.document_prefix,
        credentials_secret_ref=external.credentials_secret_ref if external is not None else None,
    )


def milvus_access(owner: Owner, milvus: Milvus) -> MilvusAccess:
    """How indexers reach the store."""
    external = milvus.external
    return MilvusAccess(
        address=milvus_address(owner, milvus),
        database=external.database if external is not None else "default",
        credentials_secret_ref=external.credentials_secret_ref if external is not None else None,
        tls=external.tls if external is not None else None,
        replicas=milvus.replicas,
    )
