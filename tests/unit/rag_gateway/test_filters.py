from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_gateway.errors import BadRequestError
from rag_gateway.filters import MAX_CONDITIONS, MAX_DEPTH, expression
from rag_runtime.contracts.routing import MetadataField

FIELDS = (
    MetadataField(name="department"),
    MetadataField(name="year", type="Integer"),
    MetadataField(name="score", type="Number"),
    MetadataField(name="public", type="Boolean"),
    MetadataField(name="tags", type="StringList"),
)


def _leaf(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (None, ""),
        (_leaf("department", "eq", "legal"), '(metadata["department"] == "legal")'),
        ({"field": "department", "value": "legal"}, '(metadata["department"] == "legal")'),
        ({"field": "tags", "value": "a"}, 'json_contains(metadata["tags"], "a")'),
        (_leaf("department", "ne", 'a"b\\'), '(metadata["department"] != "a\\"b\\\\")'),
        (_leaf("department", "eq", "é😀\n"), '(metadata["department"] == "\\u00e9\\U0001f600\\u000a")'),
        (_leaf("year", "in", [1, 2]), '(metadata["year"] in [1, 2])'),
        (_leaf("score", "in", [1, 2.5]), '(metadata["score"] == 1 or metadata["score"] == 2.5)'),
        (_leaf("score", "lt", 2**63), '(metadata["score"] < 9.223372036854776e+18)'),
        (_leaf("score", "gte", -(2**63)), '(metadata["score"] >= -9.223372036854776e+18)'),
        (_leaf("public", "eq", True), '(metadata["public"] == true)'),
        (_leaf("tags", "containsAll", ["a", "b"]), 'json_contains_all(metadata["tags"], ["a", "b"])'),
        ({"not": _leaf("year", "lt", 3)}, '(not (metadata["year"] < 3))'),
        (
            {"any": [_leaf("year", "gt", 3), {"all": [_leaf("public", "eq", False)]}]},
            '((metadata["year"] > 3) or ((metadata["public"] == false)))',
        ),
    ],
)
def test_a_filter_becomes_an_expression(clause: Any, expected: str) -> None:
    assert expression(FIELDS, clause) == expected


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ("year > 3", "is not an object"),
        ([], "is not an object"),
        ({}, "not declared, allowed: department, public, score, tags, year"),
        (_leaf("secret", "eq", 1), "'secret' is not declared"),
        (_leaf("year", "contains", 1), "does not apply to year (Integer), allowed: eq, ne, in, gt, gte, lt, lte"),
        (_leaf("department", "gt", "a"), "does not apply"),
        (_leaf("year", "eq", "3"), "is not a 64-bit integer"),
        (_leaf("year", "eq", True), "is not a 64-bit integer"),
        (_leaf("year", "eq", 2**63), "is not a 64-bit integer"),
        (_leaf("score", "eq", float("nan")), "is not a finite number"),
        (_leaf("public", "eq", 1), "is not true or false"),
        (_leaf("department", "eq", "x" * 1025), "longer than 1024 bytes"),
        (_leaf("department", "eq", "\ud800"), "not valid Unicode"),
        (_leaf("year", "in", []), "not a list of 1 to 256 values"),
        (_leaf("year", "in", [1] * 257), "not a list of 1 to 256 values"),
        ({"field": "year", "op": "eq"}, "filter.value: missing"),
        ({"field": "year", "op": "eq", "value": 1, "expr": "true"}, "'expr' is not known"),
        ({"all": []}, "is not a list of at least one filter"),
        ({"all": [_leaf("year", "eq", 1)], "not": {}}, "'not' beside 'all'"),
        ({"any": [_leaf("year", "eq", 1), {"not": _leaf("x", "eq", 1)}]}, "filter.any[1].not.field"),
        ({"all": [_leaf("year", "eq", 1)] * (MAX_CONDITIONS + 1)}, "more than 64 conditions"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_with_its_place_and_what_is_allowed(clause: Any, message: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        expression(FIELDS, clause)

    assert message in refused.value.message


def test_a_filter_cannot_be_nested_without_end() -> None:
    clause: Any = _leaf("year", "eq", 1)
    for _ in range(MAX_DEPTH):
        clause = {"not": clause}

    with pytest.raises(BadRequestError, match="nested deeper"):
        expression(FIELDS, clause)


def test_a_declared_name_that_is_no_plain_word_cannot_be_filtered_by() -> None:
    with pytest.raises(BadRequestError, match="none, this pipeline declares no metadata"):
        expression([MetadataField(name='x"] or true')], _leaf('x"] or true', "eq", "a"))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_no_string_ends_its_literal(value: str) -> None:
    text = expression(FIELDS, _leaf("department", "eq", value))

    literal = text.removeprefix('(metadata["department"] == ').removesuffix(")")
    assert literal.isascii()
    assert literal.isprintable()
    inside = literal[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '"' not in inside
    assert literal.encode().decode("unicode_escape")[1:-1] == value
