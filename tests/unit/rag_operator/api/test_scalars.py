"""Durations, percentages, quantities and timestamps, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from rag_operator.api.base import Model
from rag_operator.api.scalars import Duration, Percentage, Quantity, Timestamp


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("0s", 0), ("1m1m", 120)])
def test_a_duration_knows_its_seconds(text: str, seconds: float) -> None:
    assert TypeAdapter(Duration).validate_python(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "5", "10 days", "PT5M", "-5m", "5m ", "1d", "1.5h", "5M", "999999s", "1s1s1s1s1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(text)


@pytest.mark.parametrize(("text", "fraction"), [("0%", 0), ("2.5%", 0.025), ("100%", 1), ("100.00%", 1)])
def test_a_percentage_knows_its_fraction(text: str, fraction: float) -> None:
    assert TypeAdapter(Percentage).validate_python(text).fraction == pytest.approx(fraction)


@pytest.mark.parametrize("text", ["", "5", "0.05", "-1%", "101%", "100.01%", "5 %", "1.234%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Percentage).validate_python(text)


@pytest.mark.parametrize(
    ("written", "value"),
    [("2", 2), (2, 2), ("500m", Decimal("0.5")), ("1.5", Decimal("1.5")), ("1Ki", 1024), ("9Gi", 9 * 1024**3), ("3k", 3000)],
)
def test_a_quantity_is_a_number_or_a_string_and_knows_its_value(written: str | int, value: Decimal) -> None:
    assert TypeAdapter(Quantity).validate_python(written).value == value


@pytest.mark.parametrize("written", ["", "-1", -1, "10 GB", "1gi", True, 1.5, "1e3"])
def test_what_is_no_quantity_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Quantity).validate_python(written)


def test_a_timestamp_keeps_milliseconds_and_comes_back_as_the_same_instant() -> None:
    assert Timestamp.from_seconds(1_790_000_000.25) == "2026-09-21T14:13:20.250Z"
    assert Timestamp.from_seconds(1_790_000_000.25).seconds == 1_790_000_000.25
    assert Timestamp.at(datetime(2026, 1, 31, 10, 20, 30, tzinfo=UTC)) == "2026-01-31T10:20:30Z"


def test_scalars_leave_the_models_as_plain_strings() -> None:
    class Holder(Model):
        wait: Duration = Duration("5m")
        size: Quantity

    wire = Holder.model_validate({"size": 2}).to_wire()
    assert {type(value) for value in wire.values()} == {str}
    assert yaml.safe_load(yaml.safe_dump(wire)) == {"wait": "5m", "size": "2"}
