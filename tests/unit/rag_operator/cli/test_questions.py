"""Question sets as the command line reads them."""

from __future__ import annotations

import json

import pytest

from rag_operator.cli.questions import parse


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_a_line_ends_where_json_lines_end(character: str) -> None:
    lines = [
        json.dumps({"id": str(number), "text": f"one{character}two", "relevant": {"docs/a": 1}}, ensure_ascii=False) for number in range(2)
    ]
    assert [question.text for question in parse("\r\n".join(lines) + "\n\n")] == [f"one{character}two"] * 2
