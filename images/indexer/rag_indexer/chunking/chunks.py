"""The chunks of a document: what is embedded, under which key, and where it stands in the text.

A chunk with its prompt, its title and the special tokens never exceeds what the model takes: each is counted, and cut further when the
tokenizer sees more tokens in it alone than it did in the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_indexer.chunking.cutting import Piece, fixed, recursive
from rag_indexer.chunking.tokens import Offsets, Tokens
from rag_indexer.errors import PermanentError
from rag_indexer.parsing.documents import Parsed
from rag_runtime.contracts.collections import chunk_key
from rag_runtime.contracts.index import ChunkingSpec
from rag_runtime.milvus.schema import MAX_TEXT_BYTES

# A title may take this share of a chunk; more is cut.
_TITLE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk before it has a vector. `embedded` is the text that makes the vector, without the model's prompt."""

    key: str
    text: str
    embedded: str
    ordinal: int
    start: int
    end: int


@dataclass(frozen=True)
class Chunker:
    """How one index cuts. `limit` is the model's token limit (None: unknown), `prompt` what the client puts before each text."""

    tokens: Tokens
    spec: ChunkingSpec
    embed_title: bool = False
    limit: int | None = None
    prompt: str = ""

    def check(self) -> None:
        """Raise `PermanentError` when chunks of the spec's size cannot fit the model, with the sum that shows it."""
        around = self.tokens.count([self.prompt])[0]
        if self.limit is not None and self.spec.max_tokens + around > self.limit:
            raise PermanentError(
                f"chunking.maxTokens {self.spec.max_tokens} and {around} tokens of prompt and marks exceed the model's limit "
                f"of {self.limit}, allowed: maxTokens at most {self.limit - around}"
            )

    def passages(self, document: str, parsed: Parsed) -> list[Passage]:
        """The document's chunks in order; none when it has no text."""
        title = self._title(parsed.title)
        lead = f"{title}\n\n" if title else ""
        size = max(self.spec.max_tokens - (len(self.tokens.offsets(lead)) if lead else 0), 1)
        spans = self._spans(parsed.text, size)
        return _keyed(document, parsed.text, lead, self._fitting(parsed.text, spans, size))

    def _title(self, title: str) -> str:
        if not self.embed_title or not title:
            return ""
        room = max(int(self.spec.max_tokens * _TITLE_SHARE), 1)
        offsets = self.tokens.offsets(title)
        return title if len(offsets) <= room else title[: offsets[room - 1][1]]

    def _spans(self, text: str, size: int) -> list[tuple[int, int]]:
        offsets = self.tokens.offsets(text)
        overlap = min(self.spec.overlap_tokens, size - 1)
        is_fixed = self.spec.strategy == "Fixed"
        pieces = fixed(len(offsets), size, overlap) if is_fixed else recursive(text, offsets, size, overlap)
        return [_place(text, offsets, piece) for piece in pieces]

    def _fitting(self, text: str, spans: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
        """The spans, halved where the text alone has more tokens than in its place, or more bytes than a field takes."""
        marks = self.tokens.count([""])[0]
        counts = self.tokens.count([text[start:end] for start, end in spans])
        fitting: list[tuple[int, int]] = []
        for (start, end), count in zip(spans, counts, strict=True):
            if (count - marks <= size and len(text[start:end].encode()) <= MAX_TEXT_BYTES) or end - start < 2:
                fitting.append((start, end))
            else:
                middle = (start + end) // 2
                fitting += self._fitting(text, [_trimmed(text, start, middle), _trimmed(text, middle, end)], size)
        return [(start, end) for start, end in fitting if start < end]


def _place(text: str, offsets: Offsets, piece: Piece) -> tuple[int, int]:
    """Characters of a piece, up to the next token so that nothing between tokens is lost, without white space at its ends."""
    end = offsets[piece.end][0] if piece.end < len(offsets) else len(text)
    return _trimmed(text, offsets[piece.start][0] if piece.start else 0, max(end, offsets[piece.end - 1][1]))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), max(end - len(part) + len(part.rstrip()), start)


def _keyed(document: str, text: str, lead: str, spans: Sequence[tuple[int, int]]) -> list[Passage]:
    seen: dict[str, int] = {}
    passages = []
    for ordinal, (start, end) in enumerate(spans):
        embedded = lead + text[start:end]
        occurrence = seen.get(embedded, 0)
        seen[embedded] = occurrence + 1
        passages.append(Passage(chunk_key(document, embedded, occurrence), text[start:end], embedded, ordinal, start, end))
    return passages
