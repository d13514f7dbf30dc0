"""What can go wrong between the operator and the API server, and what each means for the next try.

```
OperatorError
├── LeadershipLost        this replica may no longer write: it stops
└── ApiError              a request failed; `status` is HTTP's, 0 when there was no answer
    ├── NotFound          404
    ├── Conflict          409: somebody else was faster, or it exists already
    ├── Gone              410: a list or watch is too old
    ├── Invalid           400, 413, 422: the server refuses this object as it is
    ├── Forbidden         401, 403: not allowed, also by quota
    │   └── Terminating   403: the namespace is being deleted, so nothing can be made in it any more
    ├── Throttled         429, with the server's own wish
    └── Unavailable       5xx, a time-out, no connection: the request may have been carried out
```
"""

# ruff: noqa: N818 - they are named by what happened, as the field names them
from __future__ import annotations

from collections.abc import Collection


class OperatorError(Exception):
    """Anything this operator raises on purpose."""


class LeadershipLost(OperatorError):
    """The lease ran out before a write: somebody else may lead."""


class ApiError(OperatorError):
    """A request failed. The message starts with what was tried."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFound(ApiError):
    """The object, its namespace or its kind does not exist."""


class Conflict(ApiError):
    """The object changed, has another UID, or exists already."""


class Gone(ApiError):
    """The resource version is too old to go on from."""


class Invalid(ApiError):
    """The server refuses the object; sending it again changes nothing."""


class Forbidden(ApiError):
    """The server refuses the request, by right or by quota."""


class Terminating(Forbidden):
    """Nothing can be made in this namespace any more: it is being deleted."""


class Throttled(ApiError):
    """Too many requests; `retry_after` says when to come back."""


class Unavailable(ApiError):
    """No usable answer. What was sent may have been carried out."""


# The cause by which the server tells this refusal from all others.
NAMESPACE_TERMINATING = "NamespaceTerminating"

BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    422: Invalid,
    429: Throttled,
}


def from_status(status: int, message: str, *, reason: str = "", retry_after: float | None = None, causes: Collection[str] = ()) -> ApiError:
    """The error for an HTTP status of 400 or more; `causes` are the reasons in the answer's details."""
    kind = BY_STATUS.get(status, Unavailable if status >= 500 else ApiError)
    if kind is Forbidden and NAMESPACE_TERMINATING in causes:
        kind = Terminating
    return kind(message, status=status, reason=reason, retry_after=retry_after)
