"""Identity: which component a spec asks for. Pure.

An identity is the set of marked fields of a spec, as a flat map from path to value; its digest is SHA-256 over that map as
canonical JSON (sorted keys, no spaces, UTF-8). It is fixed for ever by `tests/unit/rag_operator/rollout/golden/`:

- an absent field is left out, and so is a field whose mark was added after version 0.1 when it has its default;
- a list keeps its order; text is hashed as it was written;
- the content of an index does not say who embeds: a model has one name whether it runs here or elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from rag_operator import names
from rag_operator.api import marks
from rag_operator.api.fields import Value, values
from rag_operator.api.v1alpha1.index import ContentIdentity, IndexIdentity, LayoutIdentity
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.revision import Component, ComponentKind, Revision

HASH_VERSION: Final = 1
TEMPLATE_REF: Final = "generator.prompt.templateConfigMapRef"
_SAME_MODEL: Final = {
    "embedder.external.model": "embedder.model.name",
    "embedder.external.revision": "embedder.model.revision",
}


@dataclass(frozen=True)
class Identity:
    """What something is: its inputs, and the hexadecimal SHA-256 digest over them."""

    digest: str
    inputs: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Identity:
        """Return the identity that has these inputs."""
        return cls(hashlib.sha256(canonical(inputs).encode()).hexdigest(), dict(inputs))

    def component(self, pipeline: str, kind: ComponentKind) -> Component:
        """Return the component of a pipeline that has this identity."""
        return Component(kind, names.hashed(pipeline, kind, self.digest), self.digest, self.inputs)


def canonical(inputs: Mapping[str, Any]) -> str:
    """Return the text that is hashed."""
    return json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Identities:
    """Everything that a spec asks for, by its identity."""

    embedder: Identity
    content: Identity
    layout: Identity
    index: Identity
    generator: Identity | None
    revision: Identity


def identities(spec: RAGPipelineSpec, template: str | None = None, reindex: str = "") -> Identities:
    """Return all identities of a spec.

    `template` is the text of the prompt template that the spec refers to; the name of its ConfigMap does not count. `reindex` is
    the last value of that verb.
    """
    marked = _by_mark(spec)
    embedder = Identity.of(marked[marks.EMBEDDER.name])
    content = Identity.of(_content(spec, marked[marks.CONTENT.name], reindex))
    layout = Identity.of(marked[marks.LAYOUT.name])
    index = Identity.of({**content.inputs, **layout.inputs})
    generator = Identity.of(marked[marks.GENERATOR.name]) if spec.generator is not None else None
    settings = {path: value for path, value in marked[marks.REVISION.name].items() if not path.startswith(f"{TEMPLATE_REF}.")}
    parts = {
        "embedder": embedder.digest,
        "index": index.digest,
        "generator": generator.digest if generator is not None else None,
        "template": template,
    }
    revision = Identity.of({**settings, **{part: value for part, value in parts.items() if value is not None}})
    return Identities(embedder, content, layout, index, generator, revision)


def embedder_identity(spec: RAGPipelineSpec) -> Identity:
    """Return the identity of the embedder: the model, where its weights come from, how exactly it computes."""
    return identities(spec).embedder


def content_identity(spec: RAGPipelineSpec, reindex: str = "") -> Identity:
    """Return what makes the vectors of an index what they are."""
    return identities(spec, reindex=reindex).content


def layout_identity(spec: RAGPipelineSpec) -> Identity:
    """Return what makes the collection of an index what it is."""
    return identities(spec).layout


def index_identity(spec: RAGPipelineSpec, reindex: str = "") -> Identity:
    """Return the identity of the index: content and layout together."""
    return identities(spec, reindex=reindex).index


def generator_identity(spec: RAGPipelineSpec) -> Identity | None:
    """Return the identity of the generator, or `None` for a pipeline that only retrieves."""
    return identities(spec).generator


def revision_identity(spec: RAGPipelineSpec, template: str | None = None, reindex: str = "") -> Identity:
    """Return the identity of the revision: its components, and the settings by which it answers."""
    return identities(spec, template, reindex).revision


def resolve(
    pipeline: str,
    spec: RAGPipelineSpec,
    *,
    template: str | None = None,
    reindex: str = "",
    collection: str = "",
    images: Mapping[str, str] | None = None,
    parser: int = 1,
) -> Revision:
    """Return the revision that a spec asks for."""
    found = identities(spec, template, reindex)
    return Revision(
        name=found.revision.digest[: names.HASH_LENGTH],
        digest=found.revision.digest,
        embedder=found.embedder.component(pipeline, names.KIND_EMBEDDER),
        index=found.index.component(pipeline, names.KIND_INDEX),
        generator=found.generator.component(pipeline, names.KIND_GENERATOR) if found.generator is not None else None,
        spec=spec,
        prompt_template=template,
        collection=collection,
        images=dict(images or {}),
        parser=parser,
        hash_version=HASH_VERSION,
    )


def declared_index(spec: RAGPipelineSpec, reindex: str = "") -> IndexIdentity:
    """Return the identity as a RAGIndex spells it out for indexers and people."""
    chosen = spec.embedder.chosen
    model, revision = chosen.declared
    content = ContentIdentity(
        model=model,
        revision=revision,
        dimensions=chosen.dimensions,
        document_prefix=chosen.document_prefix or "" if spec.embedder.external is not None else chosen.document_prefix,
        chunking=spec.documents.chunking,
        embed_title=spec.documents.embed_title,
        reindex=reindex or None,
    )
    milvus = spec.vector_store.milvus
    found = identities(spec, reindex=reindex)
    return IndexIdentity(
        digest=found.index.digest,
        content_digest=found.content.digest,
        content=content,
        layout=LayoutIdentity(shards=milvus.shards, index=milvus.index),
    )


def marked_inputs(item: BaseModel, mark: marks.Mark) -> dict[str, Any]:
    """Return what an object says at the leaves with a mark, by path."""
    return _by_mark(item)[mark.name]


def _by_mark(item: BaseModel) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {mark.name: {} for mark in marks.ALL}
    for value in values(item):
        for mark in value.marks:
            if not _is_later_default(value, mark):
                found[mark.name][value.path] = value.value
    return found


def _is_later_default(found: Value, mark: marks.Mark) -> bool:
    return mark.since != marks.FIRST_VERSION and bool(found.value == found.default)


def _content(spec: RAGPipelineSpec, marked: Mapping[str, Any], reindex: str) -> dict[str, Any]:
    inputs = {_content_path(path): value for path, value in marked.items()}
    if spec.embedder.external is not None:
        # An endpoint has no prompt of its own, so absent and empty are the same.
        inputs.setdefault("embedder.documentPrefix", "")
    return {**inputs, "reindex": reindex} if reindex else inputs


def _content_path(path: str) -> str:
    return _SAME_MODEL.get(path, path.replace("embedder.local.", "embedder.").replace("embedder.external.", "embedder."))
