"""One evaluation, as a Job or on its own: settings in, report out.

The report always comes, also when there are no numbers: then `message` says why.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rag_indexer.evaluate.asking import ask_all, documents
from rag_indexer.evaluate.metrics import metric
from rag_indexer.evaluate.questions import Question, QuestionSetError, parse
from rag_indexer.evaluate.report import depth, report
from rag_runtime.contracts import pods
from rag_runtime.settings import PodSettings, env

logger = logging.getLogger(__name__)


class EvaluationSettings(PodSettings):
    """What to compare. Exactly one of `questions_file` and `questions_s3` is set."""

    evaluation_id: str = env(pods.ENV_EVALUATION_ID, "evaluation")
    gateway_url: str = env(pods.ENV_GATEWAY_URL)
    stable: str = env(pods.ENV_STABLE)
    candidate: str = env(pods.ENV_CANDIDATE)
    metric: str = env(pods.ENV_METRIC, "nDCG@10")
    questions_file: str = env(pods.ENV_QUESTIONS_FILE, "")
    questions_s3: str = env(pods.ENV_QUESTIONS_S3, "")


def evaluate(settings: EvaluationSettings, read_object: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """The report of one evaluation; `read_object` fetches the text of an S3 location."""
    found = {"id": settings.evaluation_id, "stable": settings.stable, "candidate": settings.candidate, "metric": settings.metric}
    try:
        questions = parse(_text(settings, read_object))
        numbers = _compare(settings, questions)
    except (OSError, QuestionSetError, ValueError) as error:
        numbers = {"questions": 0, "message": f"failed to evaluate: {error}"[:1024]}
    return {**found, **numbers, "completionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _compare(settings: EvaluationSettings, questions: list[Question]) -> dict[str, Any]:
    primary = metric(settings.metric)
    logger.info("asking %d questions of %s and %s", len(questions), settings.stable, settings.candidate)
    replies = asyncio.run(ask_all(settings.gateway_url, questions, (settings.stable, settings.candidate), documents(depth(primary))))
    return report(questions, (settings.stable, replies[settings.stable]), (settings.candidate, replies[settings.candidate]), primary)


def _text(settings: EvaluationSettings, read_object: Callable[[dict[str, Any]], str]) -> str:
    if settings.questions_s3:
        return read_object(json.loads(settings.questions_s3))
    if not settings.questions_file:
        raise ValueError(f"no question set: set {pods.ENV_QUESTIONS_FILE} or {pods.ENV_QUESTIONS_S3}")
    return Path(settings.questions_file).read_text()
