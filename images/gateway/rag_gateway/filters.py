"""From a client's structured filter to a Milvus expression. Pure.

    filter = {"all": [filter, ...]} | {"any": [filter, ...]} | {"not": filter} | {"field": name, "op": op, "value": value}

Clients never send an expression. Names come from the revision's declared fields alone and must be plain words; values become literals of
the declared type. Strings are written in printable ASCII with escapes, so nothing in them can end the literal.

Seen on Milvus 2.3.5: surrogate pairs (`\\ud83d\\ude00`) do not parse, `\\U0001f600` does; a list of mixed integers and decimals fails in
the query node, while `==` compares them; -2^63 does not parse; a field that a document lacks differs (`ne`, `not`) from everything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from rag_runtime.contracts.collections import METADATA
from rag_runtime.contracts.routing import MetadataField

from .errors import BadRequestError

MAX_DEPTH = 8
MAX_CONDITIONS = 64
MAX_LIST = 256
MAX_STRING_BYTES = 1_024

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_COMPARE = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ORDERED = {"gt", "gte", "lt", "lte"}
_OPERATORS = {
    "String": ("eq", "ne", "in"),
    "Integer": ("eq", "ne", "in", *sorted(_ORDERED)),
    "Number": ("eq", "ne", "in", *sorted(_ORDERED)),
    "Boolean": ("eq", "ne"),
    "StringList": ("contains", "containsAny", "containsAll"),
}
_SET_FUNCTIONS = {"containsAny": "json_contains_any", "containsAll": "json_contains_all"}


def expression(declared: Sequence[MetadataField], clause: Any) -> str:
    """The expression that `clause` means, "" for none. Raises `BadRequestError` naming the part, the value and what is allowed."""
    if clause is None:
        return ""
    return _Compiler(declared).compile(clause, "filter", 1)


class _Compiler:
    def __init__(self, declared: Sequence[MetadataField]) -> None:
        self._fields = {field.name: field for field in declared if _WORD.fullmatch(field.name)}
        self._conditions = 0

    def compile(self, clause: Any, path: str, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise BadRequestError(f"{path}: nested deeper than {MAX_DEPTH}", param=path)
        if not isinstance(clause, dict):
            raise BadRequestError(
                f"{path}: {_shown(clause)} is not an object, allowed: all, any, not, or field with op and value", param=path
            )
        for key, joiner in (("all", " and "), ("any", " or ")):
            if key in clause:
                return self._joined(_only(clause, key, path), joiner, f"{path}.{key}", depth)
        if "not" in clause:
            return f"(not {self.compile(_only(clause, 'not', path), f'{path}.not', depth + 1)})"
        return self._condition(clause, path)

    def _joined(self, clauses: Any, joiner: str, path: str, depth: int) -> str:
        if not isinstance(clauses, list) or not clauses:
            raise BadRequestError(f"{path}: {_shown(clauses)} is not a list of at least one filter", param=path)
        return "(" + joiner.join(self.compile(each, f"{path}[{i}]", depth + 1) for i, each in enumerate(clauses)) + ")"

    def _condition(self, clause: dict[str, Any], path: str) -> str:
        unknown = sorted(set(clause) - {"field", "op", "value"})
        if unknown:
            raise BadRequestError(f"{path}: {unknown[0]!r} is not known, allowed: all, any, not, or field, op and value", param=path)
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise BadRequestError(f"filter: more than {MAX_CONDITIONS} conditions", param="filter")
        field = self._field(clause.get("field"), path)
        operator = clause.get("op", "contains" if field.type == "StringList" else "eq")
        if operator not in _OPERATORS[field.type]:
            allowed = ", ".join(_OPERATORS[field.type])
            raise BadRequestError(
                f"{path}.op: {_shown(operator)} does not apply to {field.name} ({field.type}), allowed: {allowed}", param=path
            )
        if "value" not in clause:
            raise BadRequestError(f"{path}.value: missing", param=path)
        return _leaf(field, operator, clause["value"], f"{path}.value")

    def _field(self, name: Any, path: str) -> MetadataField:
        field = self._fields.get(name) if isinstance(name, str) else None
        if field is None:
            allowed = ", ".join(sorted(self._fields)) or "none, this pipeline declares no metadata"
            raise BadRequestError(f"{path}.field: {_shown(name)} is not declared, allowed: {allowed}", param=path)
        return field


def _leaf(field: MetadataField, operator: str, value: Any, path: str) -> str:
    column = f'{METADATA}["{field.name}"]'
    literal = _LITERALS[field.type]
    if operator in _COMPARE:
        return f"({column} {_COMPARE[operator]} {literal(value, path)})"
    if operator == "contains":
        return f"json_contains({column}, {literal(value, path)})"
    values = [literal(each, f"{path}[{i}]") for i, each in enumerate(_listed(value, path))]
    if operator == "in" and field.type == "Number":
        return "(" + " or ".join(f"{column} == {each}" for each in values) + ")"
    if operator == "in":
        return f"({column} in [{', '.join(values)}])"
    return f"{_SET_FUNCTIONS[operator]}({column}, [{', '.join(values)}])"


def _listed(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LIST:
        raise BadRequestError(f"{path}: {_shown(value)} is not a list of 1 to {MAX_LIST} values", param=path)
    return value


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise BadRequestError(f"{path}: {_shown(value)} is not a string", param=path)
    if len(value.encode("utf-8", "surrogatepass")) > MAX_STRING_BYTES:
        raise BadRequestError(f"{path}: longer than {MAX_STRING_BYTES} bytes", param=path)
    if any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise BadRequestError(f"{path}: {_shown(value)} is not valid Unicode", param=path)
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if 0x20 <= code < 0x7F:
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _integer(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) < value < 2**63:
        raise BadRequestError(f"{path}: {_shown(value)} is not a 64-bit integer", param=path)
    return str(value)


def _number(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequestError(f"{path}: {_shown(value)} is not a finite number", param=path)
    # Milvus parses an integer only within 64 bits, and not the lowest of them.
    return repr(value if -(2**63) < value < 2**63 else float(value))


def _boolean(value: Any, path: str) -> str:
    if not isinstance(value, bool):
        raise BadRequestError(f"{path}: {_shown(value)} is not true or false", param=path)
    return "true" if value else "false"


_LITERALS: dict[str, Callable[[Any, str], str]] = {
    "String": _string,
    "Integer": _integer,
    "Number": _number,
    "Boolean": _boolean,
    "StringList": _string,
}


def _only(clause: dict[str, Any], key: str, path: str) -> Any:
    if len(clause) > 1:
        other = next(name for name in sorted(clause) if name != key)
        raise BadRequestError(f"{path}: {other!r} beside {key!r}, allowed: one of them", param=path)
    return clause[key]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
