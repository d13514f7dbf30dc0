"""Wrong objects are refused by the API server and by the parser, each with the field and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from api.client import ApiClient
from api.manifests import base, edited
from rag_operator.api.crd import spec_schema
from rag_operator.api.rules import VALIDATIONS
from rag_operator.api.schema import descend
from rag_operator.api.v1alpha1.pipeline import MAX_NAME_LENGTH
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.model.validated import parse

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "refused.yaml").read_text())
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])


def test_the_object_that_the_cases_change_is_right(kube: ApiClient) -> None:
    answer = kube.create(base())
    assert answer.accepted, answer.message
    assert isinstance(parse(base()["spec"]), RAGPipelineSpec)


def test_there_are_enough_cases_and_none_is_told_twice() -> None:
    told = [case["case"] for case in CASES]
    assert len(told) >= 70
    assert len(set(told)) == len(told)


def test_every_rule_of_the_schema_is_broken_by_a_case() -> None:
    rules = [rule for _, below in descend(spec_schema()) for rule in below.get(VALIDATIONS, ())]
    messages = {rule["message"] for rule in rules if "oldSelf" not in rule["rule"] and "must be a duration from" not in rule["message"]}
    told = [text for case in CASES for text in (case["says"], case.get("parser", case["says"]))]
    assert [message for message in messages if not any(text in message for text in told)] == []


@each_case
def test_the_api_server_refuses(kube: ApiClient, case: dict[str, Any]) -> None:
    answer = kube.create(edited(base(), case["set"]))
    assert not answer.accepted
    assert case["says"] in answer.message
    assert case["field"] in answer.message


@each_case
def test_the_parser_refuses(case: dict[str, Any]) -> None:
    found = parse(edited(base(), case["set"])["spec"])
    assert not isinstance(found, RAGPipelineSpec)
    here = [violation for violation in found if violation.path.startswith(case["field"])]
    wanted = case.get("parser", case["says"])
    assert any(wanted in violation.message for violation in here), [str(violation) for violation in found]


@pytest.mark.parametrize("name", ["a" * (MAX_NAME_LENGTH + 1), "handbook.v2", "2024-handbook"])
def test_a_name_whose_children_could_not_be_named_is_refused(kube: ApiClient, name: str) -> None:
    answer = kube.create(edited(base(), {"metadata.name": name}))
    assert not answer.accepted
    assert f"at most {MAX_NAME_LENGTH} characters" in answer.message


def test_the_longest_name_is_accepted(kube: ApiClient) -> None:
    answer = kube.create(edited(base(), {"metadata.name": "a" * MAX_NAME_LENGTH}))
    assert answer.accepted, answer.message
