"""From a pydantic model to a structural OpenAPI schema, as CustomResourceDefinitions demand it.

Structural means: every reference inlined, every type said, no `additionalProperties` beside `properties`, no unions but
int-or-string, nothing that preserves unknown fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rag_operator.api.base import Model
from rag_operator.api.rules import VALIDATIONS

Schema = dict[str, Any]

_DROPPED: Final = frozenset({"title", "$defs", "examples"})
_POD: Final = "pod"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"


class Compact(Schema):
    """A schema to write on one line: it is known from elsewhere, and indented it would double the file."""


def structural(model: type[Model]) -> Schema:
    """Return the structural schema of a model."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    schema = _inlined(raw, raw.get("$defs", {}))
    _strip_repeated_pods(schema)
    return schema


def without_defaults(schema: Schema) -> Schema:
    """Return a schema that fills nothing in: for status, where an absent field means that nobody has said it."""
    return {
        key: without_defaults(value) if isinstance(value, dict) and key != "default" else value
        for key, value in schema.items()
        if key != "default" or not _is_keyword(schema)
    }


def without_transitions(schema: Schema) -> Schema:
    """Return a schema that judges a value by itself, whatever was there before."""
    for _, below in descend(schema):
        kept = [rule for rule in below.pop(VALIDATIONS, ()) if "oldSelf" not in rule["rule"]]
        if kept:  # The API server stores no empty list: the definition would differ from what is stored of it for ever.
            below[VALIDATIONS] = kept
    return schema


def without_defaults_in_lists(schema: Schema) -> Schema:
    """Return a schema that fills nothing into the items of lists; what an absent field means there is the parser's to say.

    Whoever compares what Git has with what is stored compares lists as a whole (Argo CD, by default): an item to which the server added
    something would be another one for ever.
    """
    for path, below in descend(schema):
        if "[]" in path:
            below.pop("default", None)
    return schema


def descend(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield a schema and all schemas below it, with their paths."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from descend(below, f"{path}.{name}")
    if "items" in schema:
        yield from descend(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from descend(schema["additionalProperties"], f"{path}{{}}")


def _is_keyword(schema: Schema) -> bool:
    # A map of properties may have one that is called default; a schema always says its type.
    return "type" in schema or INT_OR_STRING in schema


def _inlined(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    found = _dereferenced(schema, definitions)
    result = {key: value for key, value in found.items() if key not in _DROPPED}
    if result.get("default", ...) is None:
        del result["default"]
    if "const" in result:
        result["enum"] = [result.pop("const")]
    _inline_below(result, definitions)
    return result


def _dereferenced(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow references and optional types; what is said nearer to the field wins."""
    found = dict(schema)
    while True:
        if "$ref" in found:
            target = definitions[found.pop("$ref").rsplit("/", 1)[-1]]
        elif "anyOf" in found and INT_OR_STRING not in found:
            (target,) = (member for member in found.pop("anyOf") if member != {"type": "null"})
        else:
            return found
        found = {**target, **found}


def _inline_below(schema: Schema, definitions: dict[str, Schema]) -> None:
    if "properties" in schema:
        schema["properties"] = {name: _inlined(below, definitions) for name, below in schema["properties"].items()}
    if schema.get("additionalProperties") in (False, True):
        del schema["additionalProperties"]
    elif "additionalProperties" in schema:
        schema["additionalProperties"] = _inlined(schema["additionalProperties"], definitions)
    if "items" in schema:
        schema["items"] = _inlined(schema["items"], definitions)
    if not schema.get("properties", True):
        del schema["properties"]


def _strip_repeated_pods(schema: Schema) -> None:
    """Describe the shared pod settings once: repeated, they alone would pass what client-side apply can store."""
    first = True
    for _, below in [*descend(schema)]:
        pod = below.get("properties", {}).get(_POD)
        if pod is None or "nodeSelector" not in pod.get("properties", {}):
            continue
        if not first:
            _strip_descriptions(pod)
            below["properties"][_POD] = Compact(pod)
        pod["properties"]["affinity"] = Compact(pod["properties"]["affinity"])
        first = False


def _strip_descriptions(schema: Schema) -> None:
    for path, below in descend(schema):
        if path:
            below.pop("description", None)
