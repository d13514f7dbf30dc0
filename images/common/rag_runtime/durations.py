"""Durations as the API writes them: `5ms`, `90s`, `1h30m`. Seconds as a float inside."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_WHOLE = re.compile(r"^([0-9]+(ms|s|m|h))+$")


def parse_duration(text: str | float) -> float:
    """Seconds in `text`; a number is taken as seconds. Raises `ValueError` that says what is allowed."""
    if isinstance(text, int | float):
        return float(text)
    if not _WHOLE.match(text):
        raise ValueError(f"{text!r} is not a duration, allowed: numbers with ms, s, m or h, for example 500ms or 1h30m")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


Duration = Annotated[float, BeforeValidator(parse_duration)]
