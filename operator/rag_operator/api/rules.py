"""Rules of the API: each is written once and checked twice, by the API server as CEL and by the parser in Python.

A rule sits on a field (as `Annotated` metadata) or on a model (in its `RULES`). Its message says what is wrong and what
to do instead; the field's path is added by whoever reports it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

VALIDATIONS = "x-kubernetes-validations"


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """What must hold: `cel` for the API server, `holds` for the parser; they must agree (tests/api compares them)."""

    cel: str
    message: str
    holds: Callable[[Any], bool] = _always
    optional_old_self: bool = False
    path: str = ""

    def check(self, value: Any) -> Any:
        """Return the value, or raise with the rule's message."""
        if not self.holds(value):
            raise PydanticCustomError("rule", "{message}", {"message": self.message, "path": self.path})
        return value

    def as_validation(self) -> dict[str, Any]:
        """Return the rule as an entry of x-kubernetes-validations."""
        entry: dict[str, Any] = {"rule": self.cel, "message": self.message}
        if self.path:
            entry["fieldPath"] = self.path
        if self.optional_old_self:
            entry["optionalOldSelf"] = True
        return entry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # The schema may be shared with the plain type (`Annotated` nests), so it is copied before a rule is added.
        found = dict(handler(schema))
        found[VALIDATIONS] = [*found.get(VALIDATIONS, ()), self.as_validation()]
        return found


def matches(pattern: str, message: str) -> Rule:
    """Return the rule that a string matches `pattern` as a whole. The pattern must mean the same in RE2 and in Python."""
    compiled = re.compile(pattern, re.ASCII)
    return Rule(f"self.matches({quoted(f'^(?:{pattern})$')})", message, lambda text: bool(compiled.fullmatch(text)))


def one_of(*members: str) -> Rule:
    """Return the rule that exactly one of the optional members (attribute names) is set."""
    names = [camel(member) for member in members]
    cel = f"[{', '.join(f'has(self.{name})' for name in names)}].exists_one(x, x)"
    listed = f"{', '.join(names[:-1])} or {names[-1]}"
    return Rule(cel, f"exactly one of {listed} must be set", lambda model: count_set(model, members) == 1)


def at_most_one_of(*members: str, message: str) -> Rule:
    """Return the rule that at most one of the optional members (attribute names) is set."""
    names = [camel(member) for member in members]
    cel = f"[{', '.join(f'has(self.{name})' for name in names)}].filter(x, x).size() <= 1"
    return Rule(cel, message, lambda model: count_set(model, members) <= 1)


def same_member(*members: str, message: str) -> Rule:
    """Return the transition rule that the chosen member of a union never changes."""
    names = [camel(member) for member in members]
    return Rule(" && ".join(f"has(self.{name}) == has(oldSelf.{name})" for name in names), message)


def grows(name: str, instead: str, *, unless: str = "") -> Rule:
    """Return the transition rule that a quantity (by its wire name) never shrinks, `unless` (CEL) says that it is another thing's now."""
    cel = f"quantity(string(self.{name})).compareTo(quantity(string(oldSelf.{name}))) >= 0"
    return Rule(f"{cel} || {unless}" if unless else cel, f"{name} may grow and never shrinks: {instead}", path=f".{name}")


def count_set(model: Any, members: Sequence[str]) -> int:
    """Return how many of the optional members are set."""
    return sum(getattr(model, member) is not None for member in members)


def camel(name: str) -> str:
    """Return the wire name of a Python attribute."""
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def quoted(text: str) -> str:
    """Return a CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True)
class Keyed:
    """A list that is a map: the API server merges its items by `key`, and refuses two items with the same one."""

    key: str = "name"

    def check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the items, or raise when two share a key."""
        keys = [getattr(item, self.key) for item in items]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise PydanticCustomError("duplicate", "{key} must be unique: {twice}", {"key": self.key, "twice": ", ".join(twice)})
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [camel(self.key)]}


@dataclass(frozen=True)
class Distinct:
    """A list of scalars that is a set."""

    def check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the items, or raise when one occurs twice."""
        if len(set(items)) < len(items):
            raise PydanticCustomError("duplicate", "items must be unique")
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "x-kubernetes-list-type": "set"}


@dataclass(frozen=True)
class KeysMatch:
    """Bounds of a string map's keys, which a structural schema cannot express otherwise."""

    pattern: str
    message: str
    rule: Rule = field(init=False)

    def __post_init__(self) -> None:
        compiled = re.compile(self.pattern, re.ASCII)
        cel = f"self.all(k, k.matches({quoted(f'^(?:{self.pattern})$')}))"
        object.__setattr__(self, "rule", Rule(cel, self.message, lambda found: all(map(compiled.fullmatch, found))))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self.rule.__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return self.rule.__get_pydantic_json_schema__(schema, handler)
