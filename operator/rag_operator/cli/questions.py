"""Held-out questions asked by hand: nDCG, recall and reciprocal rank of what revisions find. Numbers, no verdict. Pure but for `read`.

nDCG is the sum of grade / log2(rank + 1) over that of the ideal order (Järvelin and Kekäläinen 2002), as the gate's evaluation has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any

from rag_operator.cli.connect import CommandError


@dataclass(frozen=True)
class Question:
    """One question and what answers it: grade by document id."""

    id: str
    text: str
    relevant: Mapping[str, float]


def read(file: Path) -> list[Question]:
    """Read a file of questions. Raises `CommandError` that says what is wrong with it."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8: {error}") from error


def parse(text: str) -> list[Question]:
    """Read JSON Lines of `{id, text, relevant}`. Raises `CommandError` that names the line."""
    # Not `splitlines`: JSON allows U+2028, U+0085 and their like within a string.
    lines = (line.strip() for line in text.split("\n"))
    found = [_question(number, line) for number, line in enumerate(lines, 1) if line]
    if not found:
        raise CommandError("the question set is empty")
    return found


def _question(number: int, line: str) -> Question:
    try:
        raw: dict[str, Any] = json.loads(line)
        relevant = {str(document): float(grade) for document, grade in raw["relevant"].items()}
        return Question(str(raw["id"]), str(raw["text"]), relevant)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"line {number}: not a question {{id, text, relevant: {{documentId: grade}}}}: {error}") from error


def scores(question: Question, found: Sequence[str], k: int) -> dict[str, float]:
    """Return the metrics of one answer: document ids, best first."""
    relevant = {document for document, grade in question.relevant.items() if grade > 0}
    top = list(found[:k])
    hits = [rank for rank, document in enumerate(found, 1) if document in relevant]
    return {
        f"nDCG@{k}": _ndcg(question, top, k),
        f"Recall@{k}": len(relevant & set(top)) / len(relevant) if relevant else 0.0,
        "MRR": 1 / hits[0] if hits else 0.0,
    }


def _ndcg(question: Question, top: Sequence[str], k: int) -> float:
    best = sorted((grade for grade in question.relevant.values() if grade > 0), reverse=True)[:k]
    ideal = _gain(best)
    return _gain([max(question.relevant.get(document, 0.0), 0.0) for document in top]) / ideal if ideal else 0.0


def _gain(grades: Iterable[float]) -> float:
    return sum(grade / log2(rank + 1) for rank, grade in enumerate(grades, 1))


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}
