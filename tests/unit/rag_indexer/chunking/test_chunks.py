from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_indexer.chunking.chunks import Chunker
from rag_indexer.chunking.cutting import fixed, recursive
from rag_indexer.chunking.tokens import BoundedTokens
from rag_indexer.errors import PermanentError
from rag_indexer.parsing.documents import Parsed
from rag_runtime.contracts.index import ChunkingSpec

TOKENS = BoundedTokens()
TEXT = (
    "# One\n\nThe first paragraph has a sentence. It has another one.\n\nA second paragraph stands here.\n\n"
    "# Two\n\nThe other section is about something else entirely, and it goes on. And on."
)


def chunker(size: int, overlap: int = 0, strategy: str = "Recursive", **options: object) -> Chunker:
    return Chunker(TOKENS, ChunkingSpec.model_validate({"strategy": strategy, "maxTokens": size, "overlapTokens": overlap}), **options)  # type: ignore[arg-type]


def texts(made: Chunker, text: str, title: str = "") -> list[str]:
    return [passage.text for passage in made.passages("s/d", Parsed(text, title))]


def test_a_short_document_is_one_chunk() -> None:
    assert texts(chunker(100), TEXT) == [TEXT]


def test_recursive_cuts_at_headings_first_then_paragraphs_then_sentences() -> None:
    assert texts(chunker(40), TEXT) == [TEXT.split("\n\n# Two", maxsplit=1)[0], "# Two" + TEXT.split("# Two")[1]]
    assert texts(chunker(28), TEXT)[0] == "# One\n\nThe first paragraph has a sentence. It has another one."
    assert texts(chunker(10), "One sentence is here. Another one stands there.")[0] == "One sentence is here."


def test_an_empty_document_has_no_chunks() -> None:
    assert texts(chunker(10), "  \n\n ") == []


def test_spans_are_where_the_text_is() -> None:
    parsed = Parsed(TEXT)
    for passage in chunker(16, 4).passages("s/d", parsed):
        assert parsed.text[passage.start : passage.end] == passage.text


def test_consecutive_chunks_overlap() -> None:
    words = " ".join(f"word{number}" for number in range(100))
    passages = chunker(32, 8).passages("s/d", Parsed(words))
    assert len(passages) > 3
    assert all(two.start < one.end for one, two in itertools.pairwise(passages))


def test_fixed_counts() -> None:
    assert [(piece.start, piece.end) for piece in fixed(10, 4, 1)] == [(0, 4), (3, 7), (6, 10)]
    assert fixed(0, 4, 1) == []
    assert [(piece.start, piece.end) for piece in fixed(3, 4, 1)] == [(0, 3)]


def test_the_same_text_twice_in_a_document_has_two_keys() -> None:
    keys = [passage.key for passage in chunker(16).passages("s/d", Parsed("\n\n".join(["The very same paragraph stands here again."] * 3)))]
    assert len(keys) == 3
    assert len(set(keys)) == 3


def test_a_key_depends_on_document_and_text_alone() -> None:
    keys = {passage.text: passage.key for passage in chunker(16).passages("s/d", Parsed(TEXT))}
    moved = {passage.text: passage.key for passage in chunker(16).passages("s/d", Parsed("# New\n\nA paragraph more.\n\n" + TEXT))}
    assert sum(moved.get(text) == key for text, key in keys.items()) >= len(keys) - 1
    assert not set(keys.values()) & {passage.key for passage in chunker(16).passages("s/other", Parsed(TEXT))}


def test_an_embedded_title_leads_the_text_and_counts() -> None:
    made = chunker(32, embed_title=True)
    for passage in made.passages("s/d", Parsed(TEXT, "Handbook")):
        assert passage.embedded == f"Handbook\n\n{passage.text}"
        assert TOKENS.count([passage.embedded])[0] <= 32 + 2


def test_a_long_title_is_cut_to_its_share() -> None:
    passage = chunker(32, embed_title=True).passages("s/d", Parsed("text", "long " * 100))[0]
    assert TOKENS.count([passage.embedded.split("\n\n")[0]])[0] <= 8 + 2


def test_chunks_that_cannot_fit_the_model_are_refused_with_the_sum() -> None:
    with pytest.raises(PermanentError, match=r"maxTokens 250 and 6 tokens .* limit of 252, allowed: maxTokens at most 246"):
        chunker(250, limit=252, prompt="passage: ").check()
    chunker(246, limit=252, prompt="passage: ").check()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=600), st.integers(2, 40), st.integers(0, 20), st.sampled_from(["Recursive", "Fixed"]))
def test_no_chunk_is_longer_than_allowed_and_no_word_is_lost(text: str, size: int, overlap: int, strategy: str) -> None:
    overlap = min(overlap, size - 1)
    passages = chunker(size, overlap, strategy).passages("s/d", Parsed(text))
    assert all(passage.text.strip() for passage in passages)
    assert all(count - 2 <= size for count in TOKENS.count([passage.text for passage in passages if passage.end - passage.start > 1]))
    covered = set(itertools.chain.from_iterable(range(passage.start, passage.end) for passage in passages))
    assert all(position in covered for position, character in enumerate(text) if not character.isspace())
    assert recursive("", [], size, overlap) == []
