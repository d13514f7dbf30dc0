from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_gateway.citations import MarkerFilter, citations, quoted
from rag_runtime.milvus.search import Hit


def _hit(number: int, **changes: object) -> Hit:
    values = {"text": f"Text {number}.\nMore.", "title": "", "uri": ""} | changes
    return Hit(score=1.0, document=f"d/{number}", ordinal=0, start=3, end=9, metadata={}, **values)  # type: ignore[arg-type]


def _filtered(text: str, passages: int, cuts: list[int]) -> str:
    marker = MarkerFilter(passages)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return "".join(marker.feed(text[start:end]) for start, end in itertools.pairwise(edges)) + marker.finish()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So it is [1].", "So it is [1]."),
        ("So it is [4].", "So it is."),
        ("So it is[0], or [00] not", "So it is, or not"),
        ("Both [1, 9, 2] say", "Both [1, 2] say"),
        ("None [8,9] says", "None says"),
        ("[3][2][1]", "[3][2][1]"),
        ("[9][2]", "[2]"),
        ("a list: [x, y] and [1", "a list: [x, y] and [1"),
        ("spaces  [7]  stay after", "spaces  stay after"),
        ("[99999999999999999999]", ""),
        ("line one\n[9]\nline two", "line one\n\nline two"),
    ],
)
def test_markers_without_a_passage_go_and_everything_else_stays(text: str, expected: str) -> None:
    assert _filtered(text, 3, []) == expected


@settings(deadline=None)
@given(st.text("ab [],0123 \t", max_size=60), st.lists(st.integers(0, 60), max_size=12))
def test_it_does_not_matter_how_the_text_is_cut_into_pieces(text: str, cuts: list[int]) -> None:
    assert _filtered(text, 2, cuts) == _filtered(text, 2, [])


@settings(deadline=None)
@given(st.text("ab [],0123", max_size=60), st.lists(st.integers(0, 60), max_size=12))
def test_no_marker_is_left_that_points_nowhere(text: str, cuts: list[int]) -> None:
    once = _filtered(text, 2, cuts)

    numbers = [int(number) for marker in re.findall(r"\[(\d+(?:[ \t]*,[ \t]*\d+)*)\]", once) for number in marker.split(",")]
    # What stood around a removed marker may form one anew, `[[9]1]`: it points at a passage or was never a marker.
    assert all(number in (1, 2) for number in numbers) or "[[" in text or "]]" in text or re.search(r"\[[\d, ]*\[|\][\d, ]*\]", text)


def test_text_is_held_back_only_while_it_may_become_a_marker() -> None:
    marker = MarkerFilter(2)

    assert [marker.feed(piece) for piece in ("so ", "[", "1", "0", "]", " [a")] == ["so", "", "", "", "", " [a"]
    assert MarkerFilter(2).feed("[" + "1," * 200) != ""  # nothing this long is a marker


def test_citations_say_where_a_passage_is() -> None:
    assert citations([_hit(1, title="T", uri="https://x")]) == [
        {"index": 1, "document": "d/1", "uri": "https://x", "title": "T", "span": {"start": 3, "end": 9}, "score": 1.0}
    ]


def test_without_a_generator_passages_are_quoted_with_the_numbers_of_their_citations() -> None:
    assert quoted([_hit(1, title="T", uri="u"), _hit(2)]) == "[1] T (u)\n> Text 1.\n> More.\n\n[2] d/2\n> Text 2.\n> More."
    assert quoted([]) == "No passage was found."
