"""Where a text is cut: Recursive looks for the best place a reader would choose, Fixed counts.

Both work on positions of tokens. A cut lies between two tokens, and consecutive chunks share about `overlap` tokens.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag_indexer.chunking.tokens import Offsets

# Best places first: before a heading, between paragraphs, between lines, after a sentence, between words.
_PLACES = (
    re.compile(r"\n(?=#{1,6} )"),
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?。！？…])[\"'”’)\]]*\s+|(?<=[。！？])"),
    re.compile(r"\s+"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens `start` to `end` - 1."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def fixed(count: int, size: int, overlap: int) -> list[Piece]:
    """Pieces of `size` tokens, each beginning `overlap` tokens before its predecessor's end."""
    step = max(size - overlap, 1)
    starts = range(0, max(count - overlap, 1), step)
    return [Piece(start, min(start + size, count)) for start in starts] if count else []


def recursive(text: str, offsets: Offsets, size: int, overlap: int) -> list[Piece]:
    """Pieces of at most `size` tokens, cut at the best places there are, each lengthened to the left by up to `overlap` tokens."""
    starts = [start for start, _ in offsets]
    levels = [_cuts(text, pattern, starts) for pattern in _PLACES]
    bare = _split(Piece(0, len(offsets)), levels, 0, max(size - overlap, 1)) if offsets else []
    return [_lengthened(piece, levels[-1], overlap, size) for piece in bare]


def _cuts(text: str, pattern: re.Pattern[str], starts: Sequence[int]) -> list[int]:
    """The tokens that a cut at each place would come before."""
    return sorted({bisect.bisect_left(starts, found.end()) for found in pattern.finditer(text)} - {0, len(starts)})


def _split(piece: Piece, levels: Sequence[list[int]], level: int, size: int) -> list[Piece]:
    if len(piece) <= size:
        return [piece]
    if level == len(levels):
        return [Piece(at, min(at + size, piece.end)) for at in range(piece.start, piece.end, size)]
    cuts = levels[level]
    inner = cuts[bisect.bisect_right(cuts, piece.start) : bisect.bisect_left(cuts, piece.end)]
    bounds = [piece.start, *inner, piece.end]
    parts: list[Piece] = []
    for start, end in itertools.pairwise(bounds):
        parts += _split(Piece(start, end), levels, level + 1, size)
    return _joined(parts, size)


def _joined(parts: Sequence[Piece], size: int) -> list[Piece]:
    """Neighbours put together as long as they fit."""
    joined: list[Piece] = []
    for part in parts:
        if joined and part.end - joined[-1].start <= size:
            joined[-1] = Piece(joined[-1].start, part.end)
        else:
            joined.append(part)
    return joined


def _lengthened(piece: Piece, words: Sequence[int], overlap: int, size: int) -> Piece:
    """The piece from a word's start at most `overlap` tokens earlier."""
    earliest = max(piece.start - overlap, piece.end - size, 0)
    at = bisect.bisect_left(words, earliest)
    if earliest == 0 or at == len(words) or words[at] > piece.start:
        return Piece(earliest if earliest == 0 else piece.start, piece.end)
    return Piece(words[at], piece.end)
