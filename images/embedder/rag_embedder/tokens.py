"""Texts to token ids, with the model's own tokenizer and its special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rag_embedder.errors import ModelError, bad_request
from rag_runtime.contracts.embedding import CODE_TEXT_TOO_LONG

TokenIds = NDArray[np.int32]

# Characters a token may stand for before a text is too long without counting: bounds the work a request can cause.
MAX_CHARACTERS_PER_TOKEN = 64


@dataclass(frozen=True)
class Tokenized:
    """Ids per text; how many tokens in all; how many texts were cut."""

    ids: list[TokenIds]
    tokens: int
    truncated: int


class TextTokenizer:
    """Thread-safe. `special` adds the model's special tokens (a static model has none)."""

    def __init__(self, path: Path, max_tokens: int, *, special: bool) -> None:
        try:
            self.source = path.read_bytes()
            self._whole = Tokenizer.from_str(self.source.decode())
            self._cutting = Tokenizer.from_str(self.source.decode())
        except Exception as error:  # the library raises bare Exception
            raise ModelError(f"{path} cannot be read: {error}") from error
        self._whole.no_truncation()
        self._whole.no_padding()
        self._cutting.no_padding()
        self._cutting.enable_truncation(max_tokens)
        self._special = special
        self.max_tokens = max_tokens
        self.max_characters = max_tokens * MAX_CHARACTERS_PER_TOKEN

    def encode(self, texts: Sequence[str], *, cut: bool) -> Tokenized:
        """Ids of each text. Too long a text is cut and counted with `cut`, else a `RequestError` that names it."""
        encoded = [
            np.array(each.ids, np.int32)
            for each in self._whole.encode_batch_fast([self._bounded(text) for text in texts], add_special_tokens=self._special)
        ]
        too_long = [place for place, ids in enumerate(encoded) if self._is_too_long(texts[place], ids)]
        if too_long and not cut:
            raise self._too_long(too_long[0], texts[too_long[0]], encoded[too_long[0]])
        for place in too_long:
            cut_ids = self._cutting.encode(self._bounded(texts[place]), add_special_tokens=self._special).ids
            encoded[place] = np.array(cut_ids, np.int32)
        for place, ids in enumerate(encoded):
            if not ids.size:
                raise bad_request(f"input[{place}] has no tokens", f"input[{place}]")
        return Tokenized(encoded, sum(map(len, encoded)), len(too_long))

    def _bounded(self, text: str) -> str:
        return text[: self.max_characters]

    def _is_too_long(self, text: str, ids: TokenIds) -> bool:
        return len(ids) > self.max_tokens or len(text) > self.max_characters

    def _too_long(self, place: int, text: str, ids: TokenIds) -> Exception:
        found = f"{len(text)} characters" if len(text) > self.max_characters else f"{len(ids)} tokens"
        allowed = f"{self.max_tokens} tokens and {self.max_characters} characters"
        return bad_request(f"input[{place}] has {found}, allowed: at most {allowed}", f"input[{place}]", CODE_TEXT_TOO_LONG)
