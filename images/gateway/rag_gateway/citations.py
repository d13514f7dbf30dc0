"""Citations: which passages an answer may point at, and markers that point nowhere taken out of it. Pure.

A marker is `[3]` or `[1, 4]`. The generator writes what it likes; a number without a passage is removed, and a marker left empty goes with
the blanks before it. Text arrives in pieces, so what might become a marker is held back until it is one or cannot be one any more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rag_runtime.milvus.search import Hit

_MARKER = re.compile(r"([ \t]*)\[(\d+(?:[ \t]*,[ \t]*\d+)*)\]")
# Blanks, maybe an open marker; anything longer is not a marker.
_UNDECIDED = re.compile(r"[ \t]{0,64}(?:\[[\d, \t]{0,64})?$")


class MarkerFilter:
    """Removes markers beyond `passages` from text that arrives in pieces."""

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be passed on now."""
        text = self._held + piece
        undecided = _UNDECIDED.search(text)
        cut = undecided.start() if undecided else len(text)
        self._held = text[cut:]
        return _MARKER.sub(self._checked, text[:cut])

    def finish(self) -> str:
        """The rest, when no more text comes."""
        rest, self._held = self._held, ""
        return _MARKER.sub(self._checked, rest)

    def _checked(self, marker: re.Match[str]) -> str:
        numbers = [number.strip() for number in marker[2].split(",")]
        known = [number for number in numbers if 1 <= int(number[:9]) <= self._passages]
        if len(known) == len(numbers):
            return marker[0]
        return f"{marker[1]}[{', '.join(known)}]" if known else ""


def citations(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The array that clients get; `index` is the number in the markers."""
    return [
        {
            "index": number,
            "document": hit.document,
            "uri": hit.uri,
            "title": hit.title,
            "span": {"start": hit.start, "end": hit.end},
            "score": hit.score,
        }
        for number, hit in enumerate(hits, 1)
    ]


def quoted(hits: Sequence[Hit]) -> str:
    """An answer without a generator: the passages themselves, numbered as the citations are."""
    if not hits:
        return "No passage was found."
    return "\n\n".join(f"[{number}] {_heading(hit)}\n{_quote(hit.text)}" for number, hit in enumerate(hits, 1))


def _heading(hit: Hit) -> str:
    name = hit.title or hit.document
    return f"{name} ({hit.uri})" if hit.uri else name


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.strip().splitlines())
