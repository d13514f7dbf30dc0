from __future__ import annotations

import json
from typing import Any

import pytest

from doubles.manifests import OWNER, examples, revision_of, spec_of, vllm
from rag_operator import names
from rag_operator.desired import revision_record as record
from rag_operator.desired.context import Owner


@pytest.mark.parametrize(("file", "name", "spec"), examples(), ids=[found[0] for found in examples()])
def test_a_recorded_revision_is_read_back_whole(file: str, name: str, spec: Any) -> None:
    revision = revision_of(spec, pipeline=name, template="{question}", parser=3)
    stored = json.loads(json.dumps(record.manifest(Owner(name, "n", "u"), revision, 1)))
    assert record.revision(stored) == revision, file


def test_a_revision_without_generator_is_read_back_without_one() -> None:
    assert record.revision(record.manifest(OWNER, revision_of(), 1)).generator is None


def test_what_changes_in_place_is_kept_beside_data_that_never_change() -> None:
    first = revision_of(spec_of(generator=vllm()))
    later = revision_of(spec_of(generator=vllm(replicas=5)))
    assert first.name == later.name
    stored = record.manifest(OWNER, first, 4)
    renewed = record.refreshed(OWNER, stored, later, later)
    assert renewed["data"] == stored["data"]
    assert renewed["revision"] == 4
    generator = record.revision(renewed).spec.generator
    assert generator is not None
    assert generator.vllm is not None
    assert generator.vllm.replicas == 5


def test_settings_that_somebody_broke_lose_to_those_that_were_recorded_first() -> None:
    stored = record.manifest(OWNER, revision_of(), 1)
    stored["metadata"]["annotations"][names.ANNOTATION_IN_PLACE] = '{"spec": {"sources": 7}}'
    assert record.revision(stored) == revision_of()


@pytest.mark.parametrize("data", [None, {}, {"format": 1}, {"format": 1, "name": "x", "digest": "y", "components": [{}]}, "text"])
def test_what_is_not_a_record_of_ours_is_said_so(data: Any) -> None:
    with pytest.raises(record.UnreadableRecordError, match="other: not a record of a revision"):
        record.revision({"metadata": {"name": "other"}, "data": data})


def test_a_record_of_a_newer_operator_is_left_alone() -> None:
    stored = record.manifest(OWNER, revision_of(), 1)
    stored["data"]["format"] = 99
    with pytest.raises(record.UnreadableRecordError, match="newer operator"):
        record.revision(stored)


def test_two_revisions_have_two_records() -> None:
    one, other = revision_of(), revision_of(spec_of(retrieval={"topK": 3}))
    assert record.name(OWNER, one) != record.name(OWNER, other)
