"""How a revision is reached now. A login or a limit that is replaced is replaced for every revision that uses the same thing."""

from __future__ import annotations

from dataclasses import replace

from rag_operator.api.v1alpha1.embedder import Embedder
from rag_operator.api.v1alpha1.generator import Generator
from rag_operator.api.v1alpha1.store import VectorStore
from rag_operator.model.revision import Revision


def with_access(revision: Revision, newest: Revision) -> Revision:
    """The revision, reached as the newest says wherever both reach the same: the store always, the others when they are the same."""
    update = {"embedder": _embedder(revision, newest), "generator": _generator(revision, newest), "vector_store": _store(revision, newest)}
    return replace(revision, spec=revision.spec.model_copy(update=update))


def _embedder(revision: Revision, newest: Revision) -> Embedder:
    own, other = revision.spec.embedder, newest.spec.embedder.external
    if own.external is None or other is None or not revision.embedder.same_as(newest.embedder):
        return own
    update = {"credentials_secret_ref": other.credentials_secret_ref, "max_input_tokens": other.max_input_tokens}
    return own.model_copy(update={"external": own.external.model_copy(update=update)})


def _generator(revision: Revision, newest: Revision) -> Generator | None:
    own = revision.spec.generator
    other = newest.spec.generator.external if newest.spec.generator is not None else None
    same = revision.generator is not None and newest.generator is not None and revision.generator.same_as(newest.generator)
    if own is None or own.external is None or other is None or not same:
        return own
    external = own.external.model_copy(update={"credentials_secret_ref": other.credentials_secret_ref})
    return own.model_copy(update={"external": external})


def _store(revision: Revision, newest: Revision) -> VectorStore:
    own, other = revision.spec.vector_store, newest.spec.vector_store.milvus.external
    if own.milvus.external is None or other is None:
        return own
    # Address and database cannot change, so everything else is how the one store is reached.
    return own.model_copy(update={"milvus": own.milvus.model_copy(update={"external": other})})
