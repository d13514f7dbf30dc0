"""What each error means for the status and the next try."""

from __future__ import annotations

import pytest

from rag_operator import errors
from rag_operator.controller.failures import verdict


@pytest.mark.parametrize(
    ("error", "reason", "lasting"),
    [
        (errors.Invalid("failed to PATCH /x: 422 spec.y: Forbidden", status=422), "ChildRefused", True),
        (errors.Forbidden("failed to POST /x: 403 exceeded quota", status=403), "Forbidden", False),
        (errors.Unavailable("failed to GET /x"), "ServerUnavailable", False),
        (errors.Throttled("wait", status=429), "Throttled", False),
        (ZeroDivisionError("x"), "InternalError", False),
    ],
)
def test_an_error_has_a_reason_and_says_whether_trying_again_helps(error: Exception, reason: str, *, lasting: bool) -> None:
    failure = verdict(error).failure
    assert failure is not None
    assert (failure.reason, failure.lasting) == (reason, lasting)


@pytest.mark.parametrize("error", [errors.Conflict("x", status=409), errors.Gone("x", status=410)])
def test_a_race_is_settled_by_the_next_pass_and_told_to_nobody(error: Exception) -> None:
    assert verdict(error).failure is None


def test_the_servers_wish_to_wait_is_obeyed() -> None:
    assert verdict(errors.Throttled("x", status=429, retry_after=7)).at_least == 7


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, errors.NotFound),
        (409, errors.Conflict),
        (422, errors.Invalid),
        (429, errors.Throttled),
        (500, errors.Unavailable),
        (504, errors.Unavailable),
    ],
)
def test_an_http_status_becomes_its_error(status: int, kind: type[errors.ApiError]) -> None:
    assert type(errors.from_status(status, "x")) is kind
