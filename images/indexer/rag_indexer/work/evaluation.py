"""The command `evaluate`: wires the evaluation to S3, to the RAGIndex's status and, when only the layout changed, to exact search."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from obstore import get as get_object
from obstore.exceptions import BaseError

from rag_indexer.errors import PermanentError
from rag_indexer.evaluate.job import EvaluationSettings, evaluate
from rag_indexer.evaluate.questions import QuestionSetError
from rag_indexer.reporting import MANAGER_EVALUATION, Reporter
from rag_indexer.sources.opening import s3_login
from rag_indexer.sources.s3 import open_store, sentence
from rag_indexer.work.context import Context
from rag_runtime.contracts.index import Index, S3Source
from rag_runtime.settings import load

# The API keeps as many.
_KEPT = 4


async def evaluation(context: Context, index: Index) -> dict[str, Any]:
    """Compare, publish in the status of the candidate's index, and return the report."""
    settings = load(EvaluationSettings)
    if context.settings.exact:
        from rag_indexer.work.exact import compare_with_exact

        found = await compare_with_exact(context, index, settings)
    else:
        found = await asyncio.to_thread(evaluate, settings, lambda location: read_object(context, location))
    await publish(context, index, found)
    return found


async def publish(context: Context, index: Index, found: dict[str, Any]) -> None:
    """Add the report to the status; the oldest goes when there are too many."""
    before = index.status.evaluations if index.status else ()
    kept = [result for result in before if result["id"] != found["id"]][-(_KEPT - 1) :]
    reporter = Reporter(context.sink, index.name, MANAGER_EVALUATION)
    reporter.set(evaluations=[*kept, found])
    await reporter.flush()


def read_object(context: Context, location: dict[str, Any]) -> str:
    """The text of an S3 object; `prefix` is its whole key. Raises `QuestionSetError` when it cannot be read."""
    place = S3Source.model_validate(location)
    if not place.prefix:
        raise PermanentError(f"{orjson.dumps(location).decode()} names no object")
    login = s3_login(place, context.around, "the question set")
    try:
        return bytes(get_object(open_store(place, login), place.prefix).bytes()).decode()
    except (BaseError, OSError) as error:
        raise QuestionSetError(f"s3://{place.bucket}/{place.prefix} cannot be read: {sentence(error)}") from error
