"""What is said again and again is said now and then; everything else always."""

from __future__ import annotations

import logging

from rag_operator.shell.logs import Refusals

REFUSED = "Request attempt #{} failed; will retry: GET https://server/api/v1/namespaces/{}/pods?limit=500 -> {}"


def said(*lines: tuple[float, str]) -> list[str]:
    """The lines, each with its second, that are let through."""
    found, refusals = [], Refusals()
    for second, line in lines:
        record = logging.makeLogRecord({"msg": line, "created": second})
        if refusals.filter(record):
            found.append(line)
    return found


def test_a_watch_that_is_refused_says_so_now_and_then() -> None:
    lines = [REFUSED.format(attempt, "a", "APIForbiddenError('pods is forbidden')") for attempt in range(200)]
    assert said(*((5.0 * attempt, line) for attempt, line in enumerate(lines))) == [lines[0], lines[120]]


def test_another_watch_and_another_error_are_news() -> None:
    lines = [REFUSED.format(1, namespace, error) for namespace in "ab" for error in ("APIForbiddenError()", "APIServerError()")]
    assert said(*((0.0, line) for line in [*lines, lines[1]])) == [*lines, lines[1]]
