"""Validation beyond the schema: `parse` reads a raw spec, `validate` compares it with what was observed of its references.

Both answer with violations instead of raising. A violation speaks like the API server: field path, value, what is allowed.
Secrets are never looked at: whether one exists is the kubelet's to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rag_operator.api.v1alpha1.common import ClaimLocation, ConfigMapKeyRef
from rag_operator.api.v1alpha1.documents import Source
from rag_operator.api.v1alpha1.embedder import LocalEmbedder
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_runtime.contracts.globs import GlobError, compiled

INVALID: Final = "InvalidSpec"
MISSING: Final = "ReferenceNotFound"
TOO_LONG: Final = "ChunkTooLong"
UNSUPPORTED: Final = "Unsupported"

_LONGEST_VALUE: Final = 80
_USER_INFO: Final = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong: where, what it says, what it may say."""

    reason: str
    path: str
    value: str
    allowed: str
    message: str

    def __str__(self) -> str:
        shown = f" {self.value!r}" if self.value else ""
        return f"{self.path}:{shown} {self.message}"


@dataclass(frozen=True)
class References:
    """What was observed beside the spec. `None` means that nobody could look, which is never a violation."""

    config_maps: Mapping[str, Mapping[str, str]] | None = None  # data by name
    claims: frozenset[str] | None = None  # names of PersistentVolumeClaims
    token_limit: int | None = None  # of the embedding model, as its embedder reports it
    milvus_operator: bool | None = None  # whether the kind Milvus of milvus.io is served
    runtimes: frozenset[str] | None = None  # versions of our own images that this operator knows


@dataclass(frozen=True)
class ValidatedPipeline:
    """A spec that holds, with the texts it refers to."""

    spec: RAGPipelineSpec
    template: str | None = field(default=None, repr=False)  # of the prompt


@dataclass(frozen=True)
class Needed:
    """Names of what a spec refers to in its namespace, by kind."""

    config_maps: frozenset[str]
    claims: frozenset[str]


def needed(spec: RAGPipelineSpec) -> Needed:
    """Return what must be looked up before `validate`."""
    maps = {ref.name for _, ref in _keys(spec)} | {source.config_map.name for source in spec.sources if source.config_map is not None}
    return Needed(frozenset(maps), frozenset(claim.claim_name for _, claim in _claims(spec)))


def parse(raw: Mapping[str, Any]) -> RAGPipelineSpec | list[Violation]:
    """Return the parsed spec, or all that is wrong with it."""
    try:
        return RAGPipelineSpec.model_validate(raw)
    except ValidationError as error:
        return [_violation(found) for found in _told_once(error.errors(include_url=False))]


def validate(spec: RAGPipelineSpec, references: References) -> ValidatedPipeline | list[Violation]:
    """Return the spec with the texts it refers to, or all that is wrong with it."""
    checks: tuple[Callable[[RAGPipelineSpec, References], Iterator[Violation]], ...] = (
        _config_maps_exist,
        _keys_exist,
        _claims_exist,
        _chunks_fit,
        _patterns_compile,
        _globs_compile,
        _store_is_served,
        _runtime_is_known,
    )
    found = [violation for check in checks for violation in check(spec, references)]
    return found or ValidatedPipeline(spec, _template(spec, references))


def _config_maps_exist(spec: RAGPipelineSpec, references: References) -> Iterator[Violation]:
    for index, source in enumerate(spec.sources):
        ref, known = source.config_map, references.config_maps
        if ref is not None and known is not None and ref.name not in known:
            yield _missing(f"spec.sources[{index}].configMap.name", ref.name, "ConfigMap")


def _keys_exist(spec: RAGPipelineSpec, references: References) -> Iterator[Violation]:
    known = references.config_maps
    for path, ref in _keys(spec):
        if known is None:
            continue
        if ref.name not in known:
            yield _missing(f"{path}.name", ref.name, "ConfigMap")
        elif ref.key not in known[ref.name]:
            keys = ", ".join(sorted(known[ref.name])) or "none: the ConfigMap is empty"
            message = f"is not a key of ConfigMap {ref.name}; it has {keys}"
            yield Violation(MISSING, f"{path}.key", ref.key, keys, message)


def _claims_exist(spec: RAGPipelineSpec, references: References) -> Iterator[Violation]:
    for path, claim in _claims(spec):
        if references.claims is not None and claim.claim_name not in references.claims:
            yield _missing(f"{path}.claimName", claim.claim_name, "PersistentVolumeClaim")


def _chunks_fit(spec: RAGPipelineSpec, references: References) -> Iterator[Violation]:
    limit = references.token_limit
    if limit is None:
        return
    # A word is at least one token, and not every model adds special ones: what does not fit by this count cannot fit. The indexer,
    # which has the tokenizer, counts exactly.
    longest = limit - len((spec.embedder.chosen.document_prefix or "").split())
    if spec.documents.chunking.max_tokens > longest:
        message = f"does not fit the embedding model, which takes {limit} tokens, its prompt included: at most {longest}"
        chunk = str(spec.documents.chunking.max_tokens)
        yield Violation(TOO_LONG, "spec.documents.chunking.maxTokens", chunk, f"at most {longest}", message)


def _patterns_compile(spec: RAGPipelineSpec, _: References) -> Iterator[Violation]:
    for index, declared in enumerate(spec.documents.metadata):
        pattern = declared.from_.path_pattern
        if pattern is None:
            continue
        path = f"spec.documents.metadata[{index}].from.pathPattern"
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            yield Violation(INVALID, path, pattern, "a regular expression", f"must be a regular expression: {error}")
            continue
        # The API counts parentheses; only here is it known which of them are a group.
        if groups != 1:
            message = f"must have exactly one group, which is the value; it has {groups}"
            yield Violation(INVALID, path, pattern, "a regular expression with exactly one group", message)


def _globs_compile(spec: RAGPipelineSpec, _: References) -> Iterator[Violation]:
    for path, glob in _globs(spec.sources):
        try:
            compiled(glob)
        except GlobError as error:
            message = f"must be a glob: {error}; * and ? stay within a directory, ** crosses them, [a-z] is a set"
            yield Violation(INVALID, path, glob, "a glob", message)


def _store_is_served(spec: RAGPipelineSpec, references: References) -> Iterator[Violation]:
    if spec.vector_store.milvus.cluster is not None and references.milvus_operator is False:
        message = "needs milvus-operator, which is not installed: install it, or use standalone or external"
        yield Violation(UNSUPPORTED, "spec.vectorStore.milvus.cluster", "", "standalone, external", message)


def _runtime_is_known(spec: RAGPipelineSpec, references: References) -> Iterator[Violation]:
    version, known = spec.runtime.version, references.runtimes
    if known is not None and version not in known:
        allowed = ", ".join(sorted(known))
        yield Violation(UNSUPPORTED, "spec.runtime.version", version, allowed, f"is not known to this operator; it knows {allowed}")


def _template(spec: RAGPipelineSpec, references: References) -> str | None:
    ref = spec.generator.prompt.template_config_map_ref if spec.generator is not None else None
    if ref is None or references.config_maps is None:
        return None
    return references.config_maps[ref.name][ref.key]


def _keys(spec: RAGPipelineSpec) -> Iterator[tuple[str, ConfigMapKeyRef]]:
    template = spec.generator.prompt.template_config_map_ref if spec.generator is not None else None
    if template is not None:
        yield "spec.generator.prompt.templateConfigMapRef", template
    questions = spec.rollout.evaluation.question_set.config_map_ref if spec.rollout.evaluation is not None else None
    if questions is not None:
        yield "spec.rollout.evaluation.questionSet.configMapRef", questions


def _claims(spec: RAGPipelineSpec) -> Iterator[tuple[str, ClaimLocation]]:
    yield from _source_claims(spec.sources)
    if isinstance(spec.embedder.chosen, LocalEmbedder) and spec.embedder.chosen.model.source.pvc is not None:
        yield "spec.embedder.local.model.source.pvc", spec.embedder.chosen.model.source.pvc
    vllm = spec.generator.vllm if spec.generator is not None else None
    if vllm is not None and vllm.model.source.pvc is not None:
        yield "spec.generator.vllm.model.source.pvc", vllm.model.source.pvc
    if spec.rollout.evaluation is not None and spec.rollout.evaluation.question_set.pvc is not None:
        yield "spec.rollout.evaluation.questionSet.pvc", spec.rollout.evaluation.question_set.pvc


def _source_claims(sources: tuple[Source, ...]) -> Iterator[tuple[str, ClaimLocation]]:
    for index, source in enumerate(sources):
        if source.pvc is not None:
            yield f"spec.sources[{index}].pvc", source.pvc


def _globs(sources: tuple[Source, ...]) -> Iterator[tuple[str, str]]:
    for index, source in enumerate(sources):
        for name, globs in (("include", source.include), ("exclude", source.exclude)):
            yield from ((f"spec.sources[{index}].{name}[{position}]", glob) for position, glob in enumerate(globs))


def _missing(path: str, name: str, kind: str) -> Violation:
    allowed = f"a {kind} in the pipeline's namespace"
    return Violation(MISSING, path, name, allowed, f"names no {kind} in the pipeline's namespace: create it, or name one that exists")


def _told_once(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Drop the complaint that a list is too short when all that is wrong is that its items are."""
    paths = [found["loc"] for found in errors]
    return [
        found
        for found in errors
        if found["type"] != "too_short" or not any(path[: len(found["loc"])] == found["loc"] and path != found["loc"] for path in paths)
    ]


def _violation(found: ErrorDetails) -> Violation:
    path = "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"])
    context = found.get("ctx", {})
    path += str(context.get("path", ""))
    if found["type"] == "extra_forbidden":
        return Violation(INVALID, path, "", "no such field", "is not a field: check the spelling with kubectl explain")
    if found["type"] == "missing":
        return Violation(INVALID, path, "", "required", "is required")
    message = found["msg"]
    allowed = str(context.get("expected") or context.get("pattern") or message)
    return Violation(INVALID, path, _shown(path, found["input"]), allowed, message)


def _shown(path: str, value: Any) -> str:
    """Return a value for people: short, without what a URL or a variable might give away."""
    if not isinstance(value, str | int | float) or ".env" in path:
        return ""
    text = _USER_INFO.sub("//***@", str(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
