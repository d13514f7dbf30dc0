"""Scalars as people write them in Kubernetes: durations, percentages, quantities, timestamps.

Each is a `str` that keeps what was written and knows its value. Parsing never changes the text, so what is stored equals
what was sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from rag_operator.api.rules import Rule, quoted

_UNIT_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_QUANTITY_UNITS: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** (power + 1) for power, unit in enumerate(("k", "M", "G", "T", "P"))},
    **{unit: Decimal(1024) ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"))},
}


class Scalar(str):
    """A string with a pattern and a parsed value."""

    __slots__ = ()

    PATTERN: ClassVar[str]
    MAX_LENGTH: ClassVar[int]

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the scalar for a text that is known to be well formed."""
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(pattern=cls.PATTERN, max_length=cls.MAX_LENGTH, strict=True)
        plain = core_schema.plain_serializer_function_ser_schema(_plain, return_schema=core_schema.str_schema())
        return core_schema.no_info_after_validator_function(cls, text, serialization=plain)


def _plain(text: str) -> str:
    # YAML and JSON writers look at the exact type, so a subclass must not leave the models.
    return str.__str__(text) if type(text) is str else "".join(text)


class Duration(Scalar):
    """A length of time such as `500ms`, `90s`, `5m` or `1h30m`."""

    PATTERN = r"^([0-9]{1,5}(ms|s|m|h)){1,4}$"
    MAX_LENGTH = 28

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        parts = re.findall(r"([0-9]+)(ms|s|m|h)", self)
        return float(sum(Decimal(number) * _UNIT_SECONDS[unit] for number, unit in parts))


class Percentage(Scalar):
    """A share from 0% to 100%, such as `2.5%`."""

    PATTERN = r"^(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%$"
    MAX_LENGTH = 7

    @property
    def fraction(self) -> float:
        """The share as a number from 0 to 1."""
        return float(Decimal(self[:-1]) / 100)


class Timestamp(Scalar):
    """An instant in RFC 3339, in UTC, such as `2026-01-31T10:20:30Z`."""

    PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"
    MAX_LENGTH = 27

    @property
    def instant(self) -> datetime:
        """The instant as an aware datetime."""
        return datetime.fromisoformat(self)

    @classmethod
    def at(cls, instant: datetime) -> Self:
        """Return the timestamp of an aware datetime, to the millisecond."""
        return cls.from_seconds(instant.timestamp())

    @classmethod
    def from_seconds(cls, seconds: float) -> Self:
        """Return the timestamp of seconds since 1970, to the millisecond."""
        milliseconds = round(seconds * 1000)
        whole = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fraction = f".{milliseconds % 1000:03}" if milliseconds % 1000 else ""
        return cls(f"{whole}{fraction}Z")

    @property
    def seconds(self) -> float:
        """The instant in seconds since 1970."""
        return self.instant.timestamp()


class Quantity(Scalar):
    """An amount as Kubernetes writes it: `2`, `500m`, `1.5`, `100Gi`."""

    PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
    MAX_LENGTH = 24

    @property
    def value(self) -> Decimal:
        """The amount in base units."""
        number = re.match(r"[0-9.]+", self)
        if number is None:
            raise ValueError(f"not a quantity: {self!r}")
        return Decimal(number.group()) * _QUANTITY_UNITS[self[number.end() :]]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_written, super().__get_pydantic_core_schema__(source, handler))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": cls.PATTERN,
            "maxLength": cls.MAX_LENGTH,
            "minimum": 0,
            "maximum": 10**15 - 1,
        }


def _written(value: Any) -> Any:
    # YAML turns `cpu: 2` into a number; Kubernetes takes both.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


@dataclass(frozen=True)
class Between:
    """Bounds of a duration, both inclusive."""

    shortest: str
    longest: str

    @property
    def rule(self) -> Rule:
        """The bounds as a rule whose message shows how a duration is written."""
        low, high = Duration(self.shortest).seconds, Duration(self.longest).seconds
        cel = (
            f"self.matches({quoted(Duration.PATTERN)}) && duration(self) >= duration('{self.shortest}')"
            f" && duration(self) <= duration('{self.longest}')"
        )
        message = f"must be a duration from {self.shortest} to {self.longest}, written like 90s, 5m or 1h30m"
        return Rule(cel, message, lambda text: low <= Duration(text).seconds <= high)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self.rule.__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return self.rule.__get_pydantic_json_schema__(schema, handler)
