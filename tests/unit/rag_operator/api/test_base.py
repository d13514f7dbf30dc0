"""Models are strict about what users write, and forgiving about what a newer version stored in a status."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rag_operator.api.base import Model, Record
from rag_operator.api.rules import Rule, camel, matches, one_of


class Part(Model):
    most_of_all: int
    """A number."""


class Note(Record):
    most_of_all: int = 0
    """A number."""


def test_wire_names_are_camel_case_and_the_only_ones_for_users() -> None:
    assert camel("max_time_to_first_token") == "maxTimeToFirstToken"
    assert Part.model_validate({"mostOfAll": 1}).to_wire() == {"mostOfAll": 1}
    with pytest.raises(ValidationError):
        Part.model_validate({"most_of_all": 1})


def test_unknown_fields_are_refused_from_users_and_ignored_in_what_the_operator_wrote() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Part.model_validate({"mostOfAll": 1, "other": 2})
    assert Note.model_validate({"mostOfAll": 1, "other": 2}) == Note(most_of_all=1)


@pytest.mark.parametrize("value", ["1", True, 1.5])
def test_nothing_is_converted_silently(value: object) -> None:
    with pytest.raises(ValidationError):
        Part.model_validate({"mostOfAll": value})


def test_null_means_absent_and_a_whole_number_may_be_written_with_a_point() -> None:
    assert Note.model_validate({"mostOfAll": None}) == Note()
    assert Part.model_validate({"mostOfAll": 2.0}).most_of_all == 2


def test_null_means_absent_in_a_map_too() -> None:
    class Holder(Model):
        labels: dict[str, str]
        """A map."""

    assert Holder.model_validate({"labels": {"a": None, "b": "c"}}).labels == {"b": "c"}


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Part.model_validate({"mostOfAll": 1}).most_of_all = 2  # type: ignore[misc]


def test_a_union_says_which_members_it_has() -> None:
    rule = one_of("hugging_face", "image", "pvc")
    assert rule.message == "exactly one of huggingFace, image or pvc must be set"
    assert rule.cel == "[has(self.huggingFace), has(self.image), has(self.pvc)].exists_one(x, x)"


def test_a_pattern_holds_for_the_whole_text_in_both_languages() -> None:
    rule: Rule = matches("a|b", "must be a or b")
    assert rule.cel == "self.matches('^(?:a|b)$')"
    assert [rule.holds(text) for text in ("a", "b", "ab", "a\n")] == [True, True, False, False]
