"""Tokenising: limits, cutting, special tokens; with a tokenizer of a few words."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from rag_embedder.errors import ModelError, RequestError
from rag_embedder.tokens import MAX_CHARACTERS_PER_TOKEN, TextTokenizer

VOCABULARY = {"[CLS]": 0, "[SEP]": 1, "a": 2, "b": 3}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """As repositories ship them: padding and truncation are switched on in the file."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="b"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=8)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_padding_and_truncation_in_the_file_are_ignored(file: Path) -> None:
    tokenized = TextTokenizer(file, 10, special=True).encode(["a b a b", "a"], cut=False)
    assert [ids.tolist() for ids in tokenized.ids] == [[0, 2, 3, 2, 3, 1], [0, 2, 1]]
    assert (tokenized.tokens, tokenized.truncated) == (9, 0)


def test_a_static_model_gets_no_special_tokens(file: Path) -> None:
    assert TextTokenizer(file, 10, special=False).encode(["a b"], cut=False).ids[0].tolist() == [2, 3]


def test_too_long_a_text_is_refused_and_named(file: Path) -> None:
    with pytest.raises(RequestError) as refused:
        TextTokenizer(file, 4, special=True).encode(["a", "a b a"], cut=False)
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "context_length_exceeded", "input[1]")
    assert "input[1] has 5 tokens, allowed: at most 4 tokens" in refused.value.message


def test_a_query_is_cut_at_the_limit_keeps_its_last_special_token_and_is_counted(file: Path) -> None:
    tokenized = TextTokenizer(file, 4, special=True).encode(["a b a b a", "a"], cut=True)
    assert [ids.tolist() for ids in tokenized.ids] == [[0, 2, 3, 1], [0, 2, 1]]
    assert tokenized.truncated == 1


def test_a_text_of_the_limit_exactly_is_taken_whole(file: Path) -> None:
    assert TextTokenizer(file, 4, special=True).encode(["a b"], cut=False).truncated == 0


def test_characters_are_bounded_before_anything_is_tokenised(file: Path) -> None:
    tokenizer = TextTokenizer(file, 4, special=True)
    endless = "x" * (4 * MAX_CHARACTERS_PER_TOKEN + 1)
    with pytest.raises(RequestError, match="input\\[0\\] has 257 characters"):
        tokenizer.encode([endless], cut=False)
    assert tokenizer.encode([endless], cut=True).truncated == 1


def test_a_text_without_tokens_is_refused(file: Path) -> None:
    with pytest.raises(RequestError, match="input\\[0\\] has no tokens"):
        TextTokenizer(file, 4, special=False).encode(["\u2028"], cut=True)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        TextTokenizer(tmp_path / "tokenizer.json", 4, special=True)
