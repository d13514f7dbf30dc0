"""Counting tokens: by the embedding model's tokenizer.json, or, where an endpoint has none, by a bound on the safe side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from tokenizers import Tokenizer

Offsets = Sequence[tuple[int, int]]

# Words and single marks. Tokenizers split long and non-Latin words further: one token for each three bytes is rarely exceeded.
_PIECES = re.compile(r"\w+|[^\w\s]")
_BYTES_PER_TOKEN = 3


class Tokens(Protocol):
    """A tokenizer, as far as a chunker needs one."""

    def offsets(self, text: str) -> Offsets:
        """Where each token is, as character positions of `text`, in order."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """The length of each text in tokens, special tokens included."""


class ModelTokens:
    """The model's own tokenizer."""

    def __init__(self, tokenizer_json: bytes) -> None:
        self._tokenizer = Tokenizer.from_buffer(tokenizer_json)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def offsets(self, text: str) -> Offsets:
        """Special tokens left out: they have no place in the text."""
        found: Offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return found

    def count(self, texts: Sequence[str]) -> list[int]:
        """As the embedder will count."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]


class BoundedTokens:
    """An upper estimate for models whose tokenizer is not at hand."""

    # Begin and end marks.
    _SPECIAL = 2

    def offsets(self, text: str) -> Offsets:
        """Each piece of a word is a token; its place is the whole word's first or last part."""
        return [place for found in _PIECES.finditer(text) for place in _split(found)]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Words and marks, long ones several times."""
        return [self._SPECIAL + len(self.offsets(text)) for text in texts]


def _split(found: re.Match[str]) -> list[tuple[int, int]]:
    start, end = found.span()
    parts = max(1, -(-len(found[0].encode()) // _BYTES_PER_TOKEN))
    step = max(1, -(-(end - start) // parts))
    places = [(at, min(at + step, end)) for at in range(start, end, step)]
    # Fewer characters than parts: the last place counts for the tokens that are left.
    return places + [places[-1]] * (parts - len(places))
