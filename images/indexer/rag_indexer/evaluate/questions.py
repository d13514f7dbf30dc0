"""The question set: JSON Lines of `{id, text, relevant: {documentId: grade}}`. Grades are gains: 0 is judged and not relevant."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class QuestionSetError(ValueError):
    """The set cannot be used; the message names line, field, value and what is allowed."""


@dataclass(frozen=True)
class Question:
    """One held-out question. `relevant` maps document ids (NFC) to grades of 0 or more."""

    id: str
    text: str
    relevant: Mapping[str, float]


def parse(text: str) -> list[Question]:
    """All questions of a set; empty lines are skipped. Raises `QuestionSetError` on the first line that is wrong."""
    # Not `splitlines`: JSON allows U+2028, U+0085 and their like within a string.
    lines = (line.strip() for line in text.split("\n"))
    found = [_question(number, line) for number, line in enumerate(lines, 1) if line]
    seen: set[str] = set()
    for question in found:
        if question.id in seen:
            raise QuestionSetError(f"id: {question.id!r} appears twice, allowed: each id once")
        seen.add(question.id)
    if not found:
        raise QuestionSetError("the question set is empty, allowed: at least one line of {id, text, relevant}")
    return found


def _question(number: int, line: str) -> Question:
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        raise QuestionSetError(f"line {number}: {line[:60]!r} is not JSON ({error.msg}), allowed: one object per line") from None
    if not isinstance(raw, dict):
        raise QuestionSetError(f"line {number}: {line[:60]!r}, allowed: an object {{id, text, relevant}}")
    identity, text = str(raw.get("id", number)), raw.get("text")
    if not isinstance(text, str) or not text.strip():
        raise QuestionSetError(f"line {number}, text: {text!r}, allowed: a question of at least one character")
    return Question(identity, text, _judgements(number, raw.get("relevant")))


def _judgements(number: int, raw: Any) -> dict[str, float]:
    if not isinstance(raw, dict) or not raw:
        raise QuestionSetError(f"line {number}, relevant: {raw!r}, allowed: an object of document ids with grades, at least one")
    for document, grade in raw.items():
        if isinstance(grade, bool) or not isinstance(grade, int | float) or not 0 <= grade <= 1_000:
            raise QuestionSetError(f"line {number}, relevant.{document}: {grade!r}, allowed: a number from 0 to 1000")
    return {unicodedata.normalize("NFC", document): float(grade) for document, grade in raw.items()}
