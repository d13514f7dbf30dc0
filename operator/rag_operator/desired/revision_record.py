"""Recorded revisions: a ControllerRevision holds everything by which the children of a revision can be rebuilt at any moment.

`data` never changes. What may change in place (replicas, resources, batching) is kept as it was last wanted in an annotation, which
holds a whole spec and the images; the identity in `data` decides what the revision is. Every other kept record remembers them, too, in an
annotation of its own: what belongs to the whole pipeline stays as they say while the spec cannot be used, even if nothing else of the
revision that was wanted is left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from rag_operator import names
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.desired.context import Manifest, Owner
from rag_operator.desired.meta import metadata
from rag_operator.model.revision import Component, ComponentKind, Revision

FORMAT: Final = 1


class UnreadableRecordError(ValueError):
    """A ControllerRevision that is not a record of ours, or one of a newer operator."""


def name(owner: Owner, revision: Revision) -> str:
    """The name of the ControllerRevision."""
    return names.hashed(owner.name, names.KIND_REVISION, revision.digest)


def manifest(owner: Owner, revision: Revision, number: int) -> Manifest:
    """The record. `number` orders the records of a pipeline; the first is 1."""
    annotations = {names.ANNOTATION_DIGEST: revision.digest, names.ANNOTATION_IN_PLACE: _text(_in_place(revision))}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata(owner, name(owner, revision), names.KIND_REVISION, revision.name, annotations=annotations),
        "revision": number,
        "data": _data(revision),
    }


def refreshed(owner: Owner, record: Mapping[str, Any], revision: Revision, newest: Revision) -> Manifest:
    """The manifest of a record that exists: its data as they are, the in-place settings as they are wanted now.

    `newest` is what was wanted last. An annotation that is `None` must not be there.
    """
    found = manifest(owner, revision, int(record["revision"]))
    own = (newest.spec, newest.images) == (revision.spec, revision.images)
    last = None if own else _text(_in_place(newest))
    annotations = {**found["metadata"]["annotations"], names.ANNOTATION_LAST_VALID: last}
    return {**found, "metadata": {**found["metadata"], "annotations": annotations}, "data": record["data"]}


def last_valid(annotations: Mapping[str, str]) -> tuple[RAGPipelineSpec, dict[str, str]] | None:
    """The spec that was wanted last and its images, as a record remembers them; `None` when they are its own, or cannot be read."""
    try:
        found = json.loads(annotations[names.ANNOTATION_LAST_VALID])
        return RAGPipelineSpec.model_validate(found["spec"]), dict(found["images"])
    except (ValueError, KeyError, TypeError):
        return None


def _data(revision: Revision) -> Manifest:
    return {
        "format": FORMAT,
        "name": revision.name,
        "digest": revision.digest,
        "components": [_component(component) for component in revision.components()],
        # Server-side apply forgets a null, and data must stay what they were.
        **({"promptTemplate": revision.prompt_template} if revision.prompt_template is not None else {}),
        "collection": revision.collection,
        "parser": revision.parser,
        "hashVersion": revision.hash_version,
        **_in_place(revision),
    }


def _component(component: Component) -> Manifest:
    return {"kind": component.kind, "name": component.name, "digest": component.digest, "inputs": dict(component.inputs)}


def _in_place(revision: Revision) -> Manifest:
    return {"spec": revision.spec.to_wire(), "images": dict(revision.images)}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def revision(record: Mapping[str, Any]) -> Revision:
    """The revision that a ControllerRevision records. Raises `UnreadableRecordError` that says what is wrong."""
    place = record.get("metadata", {})
    try:
        data = record["data"]
        if data["format"] > FORMAT:
            raise UnreadableRecordError(
                f"{place.get('name')}: recorded in format {data['format']} by a newer operator, this one reads {FORMAT}"
            )
        newest = _newest(data, place.get("annotations", {}).get(names.ANNOTATION_IN_PLACE))
        components = {entry["kind"]: _read_component(entry) for entry in data["components"]}
        return Revision(
            name=data["name"],
            digest=data["digest"],
            embedder=components["embedder"],
            index=components["index"],
            generator=components.get("generator"),
            spec=RAGPipelineSpec.model_validate(newest["spec"]),
            prompt_template=data.get("promptTemplate"),
            collection=data["collection"],
            images=newest["images"],
            parser=data["parser"],
            hash_version=data["hashVersion"],
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise UnreadableRecordError(f"{place.get('name')}: not a record of a revision: {error}") from error


def _newest(data: Mapping[str, Any], annotation: str | None) -> Mapping[str, Any]:
    """What was wanted last; an annotation that somebody broke loses to what was wanted first."""
    try:
        found = json.loads(annotation) if annotation else data
        RAGPipelineSpec.model_validate(found["spec"])
    except (ValueError, KeyError, TypeError):
        return data
    return {"spec": found["spec"], "images": found.get("images", data["images"])}


def _read_component(entry: Mapping[str, Any]) -> Component:
    kind: ComponentKind = entry["kind"]
    return Component(kind, entry["name"], entry["digest"], entry["inputs"])
