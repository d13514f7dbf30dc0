"""Random specs from the schema of the CRD: right ones, and right ones with one thing made wrong.

The schema says types, bounds and patterns. What its rules say between fields is mended afterwards (`mending.py`), so that most
objects are right; whether one really is, the two judges say, not this module.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from api.mending import MENDS, mended, mended_but, seconds
from rag_operator.api.crd import spec_schema
from rag_operator.api.rules import VALIDATIONS
from rag_operator.api.schema import INT_OR_STRING, Schema

SCHEMA = spec_schema()
_MEMBERS = re.compile(r"has\(self\.(\w+)\)")
_MATCHES = re.compile(r"self\.matches\('((?:[^'\\]|\\.)*)'\)")
_BOUNDS = re.compile(r"duration\('(\w+)'\)")
_KEYS = re.compile(r"k\.matches\('((?:[^'\\]|\\.)*)'\)")
# A wide object with every part present would be large and slow; a few of the optional ones at a time tell as much.
_OPTIONAL = 4
_TEXT = st.characters(exclude_categories=("Cs",), max_codepoint=0x2FFF)


def specs() -> st.SearchStrategy[dict[str, Any]]:
    """Specs that should be right."""
    return _value(SCHEMA).map(mended)


def broken_specs() -> st.SearchStrategy[dict[str, Any]]:
    """Specs in which one thing was changed for the worse, or in which one kind of disagreement was not mended."""
    changed = specs().flatmap(lambda spec: st.sampled_from([*_places(spec, SCHEMA, ())]).flatmap(lambda place: _broken(spec, *place)))
    return st.one_of(changed, changed, st.builds(mended_but, _value(SCHEMA), st.sampled_from(MENDS)))


def _value(schema: Schema) -> st.SearchStrategy[Any]:
    if INT_OR_STRING in schema:
        return st.one_of(st.integers(0, 64), st.from_regex(schema["pattern"], fullmatch=True))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    made: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
        "object": _object,
        "array": _list,
        "string": _string,
        "integer": lambda below: st.integers(below["minimum"], below["maximum"]),
        "number": lambda below: st.floats(below["minimum"], below["maximum"]),
        "boolean": lambda _: st.booleans(),
    }
    return made[schema["type"]](schema)


def _rules(schema: Schema) -> str:
    return " ; ".join(rule["rule"] for rule in schema.get(VALIDATIONS, ()))


def _unescaped(text: str) -> str:
    return text.replace("\\'", "'").replace("\\\\", "\\")


def _string(schema: Schema) -> st.SearchStrategy[str]:
    rules = _rules(schema)
    bounds = _BOUNDS.findall(rules)
    if bounds:
        return st.sampled_from([*bounds, *(text for text in ("90s", "2m", "1m30s", "500ms") if _within(text, bounds))])
    if "isCIDR" in rules:
        return st.sampled_from(["10.0.0.0/8", "192.168.4.0/24", "0.0.0.0/0", "fd00::/8", "2001:db8::/32"])
    patterns = [_unescaped(found) for found in _MATCHES.findall(rules)]
    pattern = schema.get("pattern") or next((found for found in patterns if not found.startswith("^(RAG_")), None)
    longest = schema["maxLength"]
    if pattern is None:
        return st.text(_TEXT, min_size=schema.get("minLength", 0), max_size=min(longest, 12))
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True, alphabet=_TEXT).filter(lambda text: len(text) <= longest)


def _within(text: str, bounds: list[str]) -> bool:
    return seconds(bounds[0]) <= seconds(text) <= seconds(bounds[1])


def _list(schema: Schema) -> st.SearchStrategy[list[Any]]:
    low = schema.get("minItems", 0)
    keys = schema.get("x-kubernetes-list-map-keys")
    unique = {"unique_by": lambda item: repr(item[keys[0]])} if keys else {}
    return st.lists(_value(schema["items"]), min_size=low, max_size=max(low, 2), **unique)


def _object(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if "additionalProperties" in schema:
        found = _KEYS.search(_rules(schema))
        keys = st.from_regex(re.compile(_unescaped(found[1]), re.ASCII), fullmatch=True) if found else st.sampled_from(["cpu", "memory"])
        return st.dictionaries(keys, _value(schema["additionalProperties"]), max_size=2)
    properties = schema.get("properties", {})
    required = {name: _value(properties[name]) for name in schema.get("required", ())}
    unions = [_MEMBERS.findall(rule["rule"]) for rule in schema.get(VALIDATIONS, ()) if "exists_one" in rule["rule"]]
    members = {name for union in unions for name in union}
    optional = [_only(name, properties[name]) for name in properties if name not in required and name not in members]
    chosen = [st.one_of([_only(name, properties[name]) for name in union]) for union in unions]
    some = st.lists(st.one_of(optional), max_size=_OPTIONAL) if optional else st.just([])
    return st.tuples(st.fixed_dictionaries(required), some, *chosen).map(lambda parts: _merged([parts[0], *parts[1], *parts[2:]]))


def _only(name: str, schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: _value(schema)})


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


Path = tuple[str | int, ...]


def _places(value: Any, schema: Schema, path: Path) -> Iterator[tuple[Path, Schema]]:
    """Yield every place in an object with its schema."""
    yield path, schema
    if isinstance(value, dict) and "properties" in schema:
        for name, below in value.items():
            yield from _places(below, schema["properties"][name], (*path, name))
    if isinstance(value, dict) and "additionalProperties" in schema:
        for name, below in value.items():
            yield from _places(below, schema["additionalProperties"], (*path, name))
    if isinstance(value, list):
        for index, below in enumerate(value):
            yield from _places(below, schema["items"], (*path, index))


def _broken(spec: dict[str, Any], path: Path, schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from([*_wrong(schema)]).map(lambda change: _changed(spec, path, change))


def _changed(spec: dict[str, Any], path: Path, change: Callable[[Any], Any]) -> dict[str, Any]:
    holder = {"spec": copy.deepcopy(spec)}
    target: Any = holder
    *above, last = ("spec", *path)
    for key in above:
        target = target[key]
    target[last] = change(target[last])
    return holder["spec"]


def _wrong(schema: Schema) -> Iterator[Callable[[Any], Any]]:
    """Yield changes that make a value of this schema wrong, or at least doubtful.

    3.0 for an integer is not among them: whether the API server takes it depends on whether a rule looks at the field.
    """
    yield from (lambda _, other=other: other for other in (7, "seven", [], {}, True, None, -1, 2.5))
    if schema.get("type") == "integer":
        yield lambda _: schema.get("minimum", 0) - 1
        yield lambda _: schema.get("maximum", 100) + 1
    if schema.get("type") == "number":
        yield lambda _: schema["maximum"] + 0.5
    if schema.get("type") == "string" or INT_OR_STRING in schema:
        yield from (lambda _, other=other: other for other in ("", " ", "a b", "é", "-1", "10 days", "PT5M", "../x", "/x", "x\n", "\x0b"))
        yield lambda _: "a" * (schema.get("maxLength", 300) + 1)
        yield lambda text: f"{text}\n"
        yield lambda text: f" {text}"
        yield lambda text: f"{text}@x"
    if schema.get("type") == "array":
        yield lambda items: [*items, *items[:1]]
        yield lambda items: [*items, None]
        yield lambda items: (items or ["x"]) * (schema["maxItems"] + 1)
    if schema.get("type") == "object":
        yield lambda found: {**found, "unheardOf": 1}
        yield lambda found: {**found, "Name": "x"}
        for name in schema.get("required", ()):
            yield lambda found, name=name: {key: value for key, value in found.items() if key != name}
        for name, below in schema.get("properties", {}).items():
            if below.get("type") == "object" and not below.get("required"):
                yield lambda found, name=name: {name: {}, **found}
