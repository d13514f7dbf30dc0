"""One document that no chunker can take leaves the others their plans."""

from __future__ import annotations

from typing import Any

import pytest

from rag_indexer.chunking.chunks import Passage
from rag_indexer.indexing.planning import failed, plans
from rag_indexer.indexing.reading import Document
from rag_indexer.indexing.target import Target
from rag_indexer.parsing.documents import Parsed
from rag_indexer.sources.port import Entry


class _Empty:
    """An index that holds nothing."""

    def chunks_of(self, documents: list[str]) -> list[Any]:
        return []

    def chunks_by_key(self, keys: list[str]) -> list[Any]:
        return []


class _Chunker:
    """Makes one chunk of everything, or raises `error` for a text that says so."""

    error: Exception = RecursionError("too deep " * 1_000)

    def passages(self, document: str, parsed: Parsed) -> list[Passage]:
        if parsed.text == "broken":
            raise self.error
        return [Passage(f"key of {document}", parsed.text, parsed.text, 0, 0, len(parsed.text))]


def _target(chunker: _Chunker) -> Target:
    return Target("one", _Empty(), None, chunker, "content")  # type: ignore[arg-type]


def _document(name: str, text: str) -> Document:
    return Document(f"s/{name}", Entry(name, "v1"), "hash", Parsed(text))


def test_a_document_that_cannot_be_cut_fails_alone_and_says_why() -> None:
    broken, fine = plans(_target(_Chunker()), [_document("a", "fine"), _document("b", "broken")], {}, now=7)
    assert (broken.after.document, broken.after.state, broken.after.attempts) == ("s/b", "failed", 1)
    assert broken.after.reason.startswith("cannot be cut into chunks: RecursionError: too deep")
    assert len(broken.after.reason) < 300
    assert (fine.after.document, fine.after.state, [chunk.key for chunk in fine.insert]) == ("s/a", "done", ["key of s/a"])


def test_a_machine_without_memory_is_no_fault_of_the_document() -> None:
    chunker = _Chunker()
    chunker.error = MemoryError()
    with pytest.raises(MemoryError):
        plans(_target(chunker), [_document("b", "broken")], {}, now=7)


def test_a_reason_can_be_stored_whatever_it_quotes() -> None:
    document = Document("s/a", Entry("a", "v1"), reason="it says \ud83d")
    assert failed(_target(_Chunker()), document, None, 7).after.reason == "it says \ufffd"
