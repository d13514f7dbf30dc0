from __future__ import annotations

from typing import Any

import pytest

from rag_indexer.errors import DocumentError
from rag_indexer.parsing.documents import Parsed
from rag_indexer.parsing.metadata import metadata_of, recipe
from rag_runtime.contracts.index import MetadataSpec


def spec(kind: str = "String", **source: str) -> MetadataSpec:
    return MetadataSpec.model_validate({"name": "field", "type": kind, "from": source or {"frontMatter": "field"}})


def value(kind: str, raw: Any) -> Any:
    return metadata_of("p", Parsed("", fields={"field": raw}), [spec(kind)]).get("field")


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("String", "x", "x"),
        ("String", 7, "7"),
        ("String", True, "true"),
        ("String", ["x"], None),
        ("Integer", "42", 42),
        ("Integer", 42.0, 42),
        ("Integer", "4.2", None),
        ("Integer", True, None),
        ("Number", "4.5", 4.5),
        ("Number", "nan", None),
        ("Number", "four", None),
        ("Boolean", "Yes", True),
        ("Boolean", False, False),
        ("Boolean", "perhaps", None),
        ("StringList", ["a", 1], ["a", "1"]),
        ("StringList", "a, b", ["a", "b"]),
        ("StringList", [], None),
        *(pytest.param(kind, 1 << 20_000, None, id=f"{kind}-huge") for kind in ("Integer", "Number", "String", "Boolean", "StringList")),
        pytest.param("String", "a \ud83d b", "a \ufffd b", id="half a character"),
        ("StringList", {"a": 1}, None),
        ("Boolean", ["yes"], None),
    ],
)
def test_a_value_is_read_as_its_type_or_left_out(kind: str, raw: Any, expected: Any) -> None:
    assert value(kind, raw) == expected


def test_a_path_pattern_takes_its_group() -> None:
    found = metadata_of("policies/hr/leave.md", Parsed(""), [spec(pathPattern="^policies/([^/]+)/")])
    assert found == {"field": "hr"}
    assert metadata_of("other/x", Parsed(""), [spec(pathPattern="^policies/([^/]+)/")]) == {}
    assert metadata_of("policies/x", Parsed(""), [spec(pathPattern="^policies/")]) == {}, "a pattern without a group has no value"


def test_the_recipe_moves_with_the_declarations_only() -> None:
    assert recipe([spec()]) == recipe([spec()])
    assert recipe([spec()]) != recipe([spec("Integer")])
    assert recipe([]) != recipe([spec()])


def test_more_than_a_row_can_hold_is_refused_with_the_sizes() -> None:
    assert len(value("StringList", ["x" * 900] * 64)) == 64
    with pytest.raises(DocumentError, match=r"metadata of \d+ bytes, allowed: at most 60000; bytes by field: field 65729"):
        value("StringList", ["x" * 1_024] * 64)
