"""The base of all models: strict, frozen, camelCase on the wire, unknown fields refused.

`Model` is for what users write: only wire names are accepted. `Record` is for what the operator writes: it is built in
Python by attribute name, and what a newer version left in a stored status is ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from rag_operator.api.rules import VALIDATIONS, Rule, camel

Item = TypeVar("Item")

# A list on the wire, immutable in Python. Strictness is lifted for the container alone: JSON has no tuples.
Items = Annotated[tuple[Item, ...], Field(strict=False)]


class Model(BaseModel):
    """A part of what users write."""

    model_config = ConfigDict(
        alias_generator=camel,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_as_kubernetes(cls, data: Any) -> Any:
        # Null means absent, in maps too, and 2.0 is the integer 2: so the API server reads JSON, and so must we.
        return _present({key: _read(value) for key, value in data.items()}) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for rule in self.RULES:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler.resolve_ref_schema(handler(schema))
        if cls.RULES:
            found[VALIDATIONS] = [rule.as_validation() for rule in cls.RULES]
        for name, field in cls.model_fields.items():
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            if isinstance(default, Model):
                # Written out in full: the API server checks a default by the rules before it fills in nested ones.
                found["properties"][field.alias or name]["default"] = default.to_wire()
        return found

    def to_wire(self) -> dict[str, Any]:
        """Return the object as Kubernetes stores it: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Record(Model):
    """A part of what the operator or an indexer writes."""

    model_config = ConfigDict(extra="ignore", validate_by_name=True, validate_by_alias=True)


def _read(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _present(value) if isinstance(value, dict) else value


def _present(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value is not None}
