"""Where a question set is read from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from doubles.s3 import BUCKET, S3Double
from rag_indexer.errors import PermanentError
from rag_indexer.evaluate.job import EvaluationSettings, evaluate
from rag_indexer.sources.opening import Surroundings
from rag_indexer.work.evaluation import read_object

LOGIN = {"accessKeyId": "id", "secretAccessKey": "secret"}


def context(directory: Path, **secret: str) -> Any:
    (directory / "login").mkdir()
    for name, value in secret.items():
        (directory / "login" / name).write_text(value)
    return SimpleNamespace(around=Surroundings(directory, directory, directory))


def location(server: S3Double) -> dict[str, Any]:
    return {"bucket": BUCKET, "prefix": "questions.jsonl", "endpoint": server.url, "credentialsSecretRef": {"name": "login"}}


async def test_a_login_whose_values_end_in_a_newline_is_one_for_questions_as_it_is_for_sources(tmp_path: Path) -> None:
    around = context(tmp_path, **{name: f"{value}\n" for name, value in LOGIN.items()})
    async with S3Double({"questions.jsonl": b"{}"}) as server:
        assert await asyncio.to_thread(read_object, around, location(server)) == "{}"


async def test_a_login_that_lacks_a_key_is_named(tmp_path: Path) -> None:
    async with S3Double() as server:
        with pytest.raises(PermanentError, match="question set: its Secret lacks accessKeyId or secretAccessKey"):
            read_object(context(tmp_path, accessKeyId="id"), location(server))


@pytest.mark.parametrize("fault", ["denied", None])
async def test_a_question_set_that_nobody_may_read_or_that_is_not_there_is_reported_with_the_reason(
    tmp_path: Path, fault: str | None
) -> None:
    around = context(tmp_path, **LOGIN)
    async with S3Double() as server:
        server.fault = fault
        place = {"RAG_GATEWAY_URL": "http://gateway", "RAG_STABLE": "a", "RAG_CANDIDATE": "b", "RAG_QUESTIONS_S3": "{}"}
        settings = EvaluationSettings.model_validate(place)
        report = await asyncio.to_thread(evaluate, settings, lambda _: read_object(around, location(server)))
    assert report["questions"] == 0
    assert report["message"].startswith(f"failed to evaluate: s3://{BUCKET}/questions.jsonl cannot be read: ")
    assert "\n" not in report["message"], "what follows the first line is the library's own debugging output"
