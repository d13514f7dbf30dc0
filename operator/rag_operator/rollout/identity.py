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
from collections.abc import Iterator, Mapping
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
_TEMPLATE_REF: Final = "generator.prompt.templateConfigMapRef."
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


def embedder_identity(spec: RAGPipelineSpec) -> Identity:
    """Return the identity of the embedder: the model, where its weights come from, how exactly it computes."""
    return Identity.of(_marked(spec, marks.EMBEDDER))


def content_identity(spec: RAGPipelineSpec, reindex: str = "") -> Identity:
    """Return what makes the vectors of an index what they are. `reindex` is the last value of that verb."""
    inputs = {_content_path(path): value for path, value in _marked(spec, marks.CONTENT).items()}
    if spec.embedder.external is not None:
        # An endpoint has no prompt of its own, so absent and empty are the same.
        inputs.setdefault("embedder.documentPrefix", "")
    return Identity.of({**inputs, **({"reindex": reindex} if reindex else {})})


def layout_identity(spec: RAGPipelineSpec) -> Identity:
    """Return what makes the collection of an index what it is."""
    return Identity.of(_marked(spec, marks.LAYOUT))


def index_identity(spec: RAGPipelineSpec, reindex: str = "") -> Identity:
    """Return the identity of the index: content and layout together."""
    return Identity.of({**content_identity(spec, reindex).inputs, **layout_identity(spec).inputs})


def generator_identity(spec: RAGPipelineSpec) -> Identity | None:
    """Return the identity of the generator, or `None` for a pipeline that only retrieves."""
    return Identity.of(_marked(spec, marks.GENERATOR)) if spec.generator is not None else None


def revision_identity(spec: RAGPipelineSpec, template: str | None = None, reindex: str = "") -> Identity:
    """Return the identity of the revision: its components, and the settings by which it answers.

    `template` is the text of the prompt template that the spec refers to; the name of its ConfigMap does not count.
    """
    settings = {path: value for path, value in _marked(spec, marks.REVISION).items() if not path.startswith(_TEMPLATE_REF)}
    generator = generator_identity(spec)
    parts = {
        "embedder": embedder_identity(spec).digest,
        "index": index_identity(spec, reindex).digest,
        "generator": generator.digest if generator is not None else None,
        "template": template,
    }
    return Identity.of({**settings, **{path: value for path, value in parts.items() if value is not None}})


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
    identity = revision_identity(spec, template, reindex)
    generator = generator_identity(spec)
    return Revision(
        name=identity.digest[: names.HASH_LENGTH],
        digest=identity.digest,
        embedder=embedder_identity(spec).component(pipeline, names.KIND_EMBEDDER),
        index=index_identity(spec, reindex).component(pipeline, names.KIND_INDEX),
        generator=generator.component(pipeline, names.KIND_GENERATOR) if generator is not None else None,
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
    return IndexIdentity(
        digest=index_identity(spec, reindex).digest,
        content_digest=content_identity(spec, reindex).digest,
        content=content,
        layout=LayoutIdentity(shards=milvus.shards, index=milvus.index),
    )


def marked_inputs(item: BaseModel, mark: marks.Mark) -> dict[str, Any]:
    """Return what an object says at the leaves with a mark, by path."""
    return {found.path: found.value for found, own in _with_mark(item, mark) if not _is_later_default(found, own)}


def _marked(spec: RAGPipelineSpec, mark: marks.Mark) -> dict[str, Any]:
    return marked_inputs(spec, mark)


def _with_mark(item: BaseModel, mark: marks.Mark) -> Iterator[tuple[Value, marks.Mark]]:
    for found in values(item):
        yield from ((found, own) for own in found.marks if own.name == mark.name)


def _is_later_default(found: Value, own: marks.Mark) -> bool:
    return own.since != marks.FIRST_VERSION and bool(found.value == found.default)


def _content_path(path: str) -> str:
    return _SAME_MODEL.get(path, path.replace("embedder.local.", "embedder.").replace("embedder.external.", "embedder."))
