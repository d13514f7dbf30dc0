from __future__ import annotations

from rag_indexer.sources.jsonlines import documents, is_container
from rag_indexer.sources.port import Entry, part_of

FILE = Entry("faq.jsonl", "v1", "file:///faq.jsonl", 100)


def test_each_line_is_a_document_that_can_be_cut_out_again() -> None:
    content = b'{"id": "a", "text": "one"}\n\n{"id": 7, "text": "\xc3\xa9"}'
    entries = list(documents(FILE, content))
    assert [entry.path for entry in entries] == ["faq.jsonl#a", "faq.jsonl#7"]
    assert [part_of(content, entry) for entry in entries] == [b'{"id": "a", "text": "one"}', b'{"id": 7, "text": "\xc3\xa9"}']
    assert {entry.file for entry in entries} == {"faq.jsonl"}


def test_an_id_may_hold_what_parts_it_from_the_file() -> None:
    (entry,) = documents(FILE, b'{"id": "https://x/page#part"}')
    assert (entry.path, entry.file) == ("faq.jsonl#https://x/page#part", "faq.jsonl")


def test_a_line_that_did_not_change_keeps_its_version_wherever_it_moves() -> None:
    before = {entry.path: entry.version for entry in documents(FILE, b'{"id": "a"}\n{"id": "b"}\n')}
    after = {entry.path: entry.version for entry in documents(FILE, b'{"id": "new"}\n{"id": "b"}\n{"id": "a"}\n')}
    assert before.items() <= after.items()


def test_lines_that_cannot_be_documents_are_entries_with_a_problem() -> None:
    entries = list(documents(FILE, b'not json\n{"text": "no id"}\n{"id": "a"}\n{"id": "a"}\n[1]\n'))
    problems = [entry.problem for entry in entries]
    assert problems[0].startswith("line 1 is not JSON")
    assert problems[1] == "line 2 has no id of 1 to 512 characters"
    assert problems[2] == ""
    assert problems[3] == "line 4: the id a is used twice in this file"
    assert "line 5" in problems[4]
    assert len({entry.path for entry in entries}) == 5


def test_containers_are_known_by_their_suffix() -> None:
    assert is_container("x/FAQ.JSONL")
    assert is_container("a.ndjson")
    assert not is_container("a.json")
