"""The Cranfield collection as a source of documents and as a question set (tests/data/cranfield/README.md)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "cranfield"


def documents() -> Iterator[dict[str, str]]:
    """`id`, `title`, `author`, `text`; 1,400 of them, two with an empty text."""
    for line in (DATA / "documents.jsonl").read_text().splitlines():
        yield json.loads(line)


def path_of(document: str) -> str:
    """The path of a document's file or object."""
    return f"{document}.txt"


def texts(count: int | None = None) -> dict[str, str]:
    """Path -> text, one file a document, of the first `count` documents."""
    found = {path_of(document["id"]): document["text"] for document in documents()}
    return dict(list(found.items())[:count])


def write(directory: Path, count: int | None = None) -> dict[str, str]:
    """Write the files into a directory; returns what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    written = texts(count)
    for path, text in written.items():
        (directory / path).write_text(text)
    return written


def questions(source: str, known: set[str] | None = None) -> list[dict[str, Any]]:
    """The 225 questions with graded documents of `source`; with `known` (paths), only judgements and questions about those."""
    relevant: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (DATA / "judgements.tsv").read_text().splitlines()[1:]:
        question, document, grade = line.split("\t")
        if int(grade) > 0 and (known is None or path_of(document) in known):
            relevant[question][f"{source}/{path_of(document)}"] = int(grade)
    asked = map(json.loads, (DATA / "questions.jsonl").read_text().splitlines())
    return [
        {"id": str(each["id"]), "text": each["text"], "relevant": relevant[str(each["id"])]} for each in asked if relevant[str(each["id"])]
    ]


def question_set(source: str, known: set[str] | None = None) -> str:
    """The questions as JSON Lines, the form that an evaluation reads."""
    return "\n".join(json.dumps(question) for question in questions(source, known)) + "\n"
