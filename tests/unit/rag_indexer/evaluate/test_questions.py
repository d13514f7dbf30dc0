"""The question set: what is wrong is said with line, field, value and what is allowed."""

from __future__ import annotations

import pytest

from rag_indexer.evaluate.questions import QuestionSetError, parse

GOOD = '{"id": "1", "text": "what is lift", "relevant": {"s/1.md": 4, "s/2.md": 0}}'


def test_a_good_set_is_read_and_empty_lines_are_skipped() -> None:
    (question,) = parse(f"\n{GOOD}\n\n")
    assert (question.id, question.text, question.relevant) == ("1", "what is lift", {"s/1.md": 4.0, "s/2.md": 0.0})


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_a_line_ends_where_json_lines_end(character: str) -> None:
    first, second = parse(GOOD.replace("what is", f"what{character}is") + "\r\n" + GOOD.replace('"1"', '"2"') + "\r\n")
    assert (first.text, second.text) == (f"what{character}is lift", "what is lift")


def test_document_ids_are_normalised_like_the_index() -> None:
    (question,) = parse('{"id": "1", "text": "q", "relevant": {"s/Cafe\\u0301.md": 1}}')
    assert list(question.relevant) == ["s/Caf\u00e9.md"]


@pytest.mark.parametrize(
    ("case", "text", "said"),
    [
        ("nothing at all", "", "the question set is empty"),
        ("not JSON", "what?", "line 1: 'what\\?' is not JSON"),
        ("a list", "[1]", "line 1: '\\[1\\]', allowed: an object"),
        ("no text", '{"id": "1", "relevant": {"a": 1}}', "line 1, text: None, allowed: a question"),
        ("a blank text", '{"id": "1", "text": " ", "relevant": {"a": 1}}', "line 1, text: ' '"),
        ("no judgement", '{"id": "1", "text": "q", "relevant": {}}', "line 1, relevant: {}, allowed"),
        (
            "a grade that is no number",
            '{"id": "1", "text": "q", "relevant": {"a": "high"}}',
            "line 1, relevant.a: 'high', allowed: a number",
        ),
        ("a negative grade", '{"id": "1", "text": "q", "relevant": {"a": -1}}', "relevant.a: -1, allowed"),
        ("a grade that is a truth value", '{"id": "1", "text": "q", "relevant": {"a": true}}', "relevant.a: True"),
        ("one id twice", GOOD + "\n" + GOOD, "id: '1' appears twice"),
    ],
)
def test_a_wrong_set_is_refused(case: str, text: str, said: str) -> None:
    with pytest.raises(QuestionSetError, match=said):
        parse(text)
