from __future__ import annotations

from rag_indexer.sources.jsonlines import MAX_ID, documents, is_container
from rag_indexer.sources.port import Entry, part_of
from rag_runtime.contracts.collections import MAX_DOCUMENT_ID_BYTES

FILE = Entry("faq.jsonl", "v1", "file:///faq.jsonl", 100)


def test_each_line_is_a_document_that_can_be_cut_out_again() -> None:
    content = b'{"id": "a", "text": "one"}\n\n{"id": 7, "text": "\xc3\xa9"}'
    entries = list(documents("s", FILE, content))
    assert [entry.path for entry in entries] == ["faq.jsonl#a", "faq.jsonl#7"]
    assert [part_of(content, entry) for entry in entries] == [b'{"id": "a", "text": "one"}', b'{"id": 7, "text": "\xc3\xa9"}']
    assert {entry.file for entry in entries} == {"faq.jsonl"}


def test_an_id_may_hold_what_parts_it_from_the_file() -> None:
    (entry,) = documents("s", FILE, b'{"id": "https://x/page#part"}')
    assert (entry.path, entry.file) == ("faq.jsonl#https://x/page#part", "faq.jsonl")


def test_what_only_python_calls_a_line_end_is_part_of_a_line() -> None:
    content = '{"id": "a", "text": "one\u2028\x85two"}\n{"id": "b"}'.encode()
    assert [(entry.path, entry.problem) for entry in documents("s", FILE, content)] == [("faq.jsonl#a", ""), ("faq.jsonl#b", "")]


def test_a_line_that_did_not_change_keeps_its_version_wherever_it_moves() -> None:
    before = {entry.path: entry.version for entry in documents("s", FILE, b'{"id": "a"}\n{"id": "b"}\n')}
    after = {entry.path: entry.version for entry in documents("s", FILE, b'{"id": "new"}\n{"id": "b"}\n{"id": "a"}\n')}
    assert before.items() <= after.items()


def test_lines_that_cannot_be_documents_are_entries_with_a_problem() -> None:
    entries = list(documents("s", FILE, b'not json\n{"text": "no id"}\n{"id": "a"}\n{"id": "a"}\n[1]\n'))
    problems = [entry.problem for entry in entries]
    assert problems[0].startswith("line 1 is not JSON")
    assert problems[1] == "line 2 has no id of 1 to 512 characters"
    assert problems[2] == ""
    assert problems[3] == "line 4: the id a is used twice in this file"
    assert "line 5" in problems[4]
    assert len({entry.path for entry in entries}) == 5


def test_a_line_whose_id_makes_the_document_id_too_long_is_an_entry_with_a_problem() -> None:
    long = "\u4e00" * 400  # characters of three bytes
    entries = list(documents("s", FILE, f'{{"id": "{long}"}}\n{{"id": "{long[:300]}"}}'.encode()))
    assert [entry.path for entry in entries] == ["faq.jsonl#line-1", f"faq.jsonl#{long[:300]}"]
    assert entries[0].problem.startswith("line 1: document id of 1212 bytes, allowed: at most 1024: s/faq.jsonl#\u4e00")
    assert entries[1].problem == ""


def test_a_line_that_cannot_be_a_document_never_takes_the_place_of_one() -> None:
    first, bad = documents("s", FILE, b'{"id": "line-2"}\nnot json')
    assert (first.path, first.problem, bad.path) == ("faq.jsonl#line-2", "", "faq.jsonl#line-2@line-2")
    bad, later = documents("s", FILE, b'not json\n{"id": "line-1"}')
    assert (bad.path, later.path) == ("faq.jsonl#line-1", "faq.jsonl#line-1@line-2")
    assert later.problem == "line 2: the id line-1 is used twice in this file"


def test_an_id_that_is_used_twice_leaves_room_for_its_line() -> None:
    longest = "x" * MAX_ID
    file = Entry("d" * (MAX_DOCUMENT_ID_BYTES - MAX_ID - len("s/#")), "v1")
    _, second = documents("s", file, f'{{"id": "{longest}"}}\n{{"id": "{longest}"}}'.encode())
    assert (second.path, second.problem[:28]) == (f"{file.path}#line-2", "line 2: document id of 1031 ")


def test_containers_are_known_by_their_suffix() -> None:
    assert is_container("x/FAQ.JSONL")
    assert is_container("a.ndjson")
    assert not is_container("a.json")
