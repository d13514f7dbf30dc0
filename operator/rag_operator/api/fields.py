"""Walks over the fields of the models and over the values in an object, each with the marks that hold for it.

A list is one leaf for a value, and `[]` in the path of a field below it; a map is one leaf.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rag_operator.api.marks import Mark

Marks = tuple[Mark, ...]


@dataclass(frozen=True)
class Leaf:
    """A field without fields of its own."""

    path: str
    marks: Marks
    description: str


@dataclass(frozen=True)
class Value:
    """What an object says at a leaf, and what it would say by default."""

    path: str
    marks: Marks
    value: Any
    default: Any


@dataclass(frozen=True)
class _Shape:
    inner: Any
    marks: Marks
    repeated: bool


@dataclass(frozen=True)
class _Field:
    name: str
    alias: str
    marks: Marks
    inner: Any
    repeated: bool
    default: Any
    description: str


def leaves(model: type[BaseModel], path: str = "", inherited: Marks = ()) -> Iterator[Leaf]:
    """Yield every leaf below a model with the marks that hold for it: the nearest ones above or on it."""
    for field in _fields(model):
        marks = field.marks or inherited
        here = f"{path}{field.alias}{'[]' if field.repeated else ''}"
        if _is_model(field.inner) and field.inner.model_fields:
            yield from leaves(field.inner, f"{here}.", marks)
        else:
            yield Leaf(here, marks, field.description)


def values(item: BaseModel, path: str = "", inherited: Marks = ()) -> Iterator[Value]:
    """Yield what is set in an object, leaf by leaf; what is absent is left out."""
    for field in _fields(type(item)):
        value = getattr(item, field.name)
        if value is None:
            continue
        marks = field.marks or inherited
        here = f"{path}{field.alias}"
        if isinstance(value, BaseModel) and type(value).model_fields:
            yield from values(value, f"{here}.", marks)
        else:
            yield Value(here, marks, plain(value), field.default)


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return "".join(value) if isinstance(value, str) else value


@cache
def _fields(model: type[BaseModel]) -> tuple[_Field, ...]:
    # Looked at once: identities are computed on every pass of every pipeline.
    return tuple(_field(name, field) for name, field in model.model_fields.items())


def _field(name: str, field: FieldInfo) -> _Field:
    opened = _open(field.annotation)
    own = tuple(item for item in field.metadata if isinstance(item, Mark))
    default = None if field.is_required() else plain(field.get_default(call_default_factory=True))
    marks = own or opened.marks
    return _Field(name, field.alias or name, marks, opened.inner, opened.repeated, default, field.description or "")


def _open(annotation: Any) -> _Shape:
    """Look through Annotated, Optional and tuple to the type inside."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = _open(arguments[0])
        own = tuple(item for item in arguments[1:] if isinstance(item, Mark))
        return _Shape(inner.inner, own or inner.marks, inner.repeated)
    if origin in (Union, types.UnionType):
        members = [member for member in arguments if member is not type(None)]
        return _open(members[0]) if len(members) == 1 else _Shape(annotation, (), False)
    if origin is tuple:
        inner = _open(arguments[0])
        return _Shape(inner.inner, inner.marks, True)
    return _Shape(annotation, (), False)


def _is_model(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)
