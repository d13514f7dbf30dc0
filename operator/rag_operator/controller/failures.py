"""What a failed pass means: what the status says, and when to try again. The one place that maps errors."""

from __future__ import annotations

from dataclasses import dataclass

from rag_operator import errors
from rag_operator.status.situation import Failure


@dataclass(frozen=True)
class Verdict:
    """`failure` is shown, unless it is `None`: a race that the next pass settles. `at_least`: seconds to wait, backoff apart."""

    failure: Failure | None
    at_least: float = 0.0


def verdict(error: Exception) -> Verdict:
    """What to make of an error. Anything that is not ours is a defect of the operator, shown and tried again."""
    message = str(error) or type(error).__name__
    match error:
        case errors.Conflict() | errors.Gone():
            return Verdict(None)
        case errors.Throttled():
            return Verdict(Failure("Throttled", "the API server asks to wait"), error.retry_after or 1.0)
        case errors.Invalid():
            return Verdict(Failure("ChildRefused", message, lasting=True))
        case errors.Forbidden():
            return Verdict(Failure("Forbidden", message))
        case errors.NotFound():
            return Verdict(Failure("NotFound", message))
        case errors.ApiError():
            return Verdict(Failure("ServerUnavailable", "the API server did not answer as it should"))
        case _:
            return Verdict(Failure("InternalError", f"{type(error).__name__}: {message}"))
