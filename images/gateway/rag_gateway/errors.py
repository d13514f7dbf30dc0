"""What a request can end with, as one exception tree and one mapping to HTTP.

    GatewayError
    ├── BadRequestError            400  the client's mistake; `param` names the field
    ├── UnauthorizedError          401
    ├── NotFoundError              404
    ├── TooLargeError              413
    ├── OverloadedError            429  at our own door, with Retry-After
    └── UpstreamError
        ├── UnavailableError       503  an upstream is down or refuses, with Retry-After
        ├── UpstreamInvalidError   502  an upstream answered what must not be used: NaN, a wrong dimension, another model
        └── DeadlineExceededError  504  the time ran out

Bodies have OpenAI's error shape, so that its clients show the message. Messages never contain a credential or a document's text.
"""

from __future__ import annotations

from typing import Any, ClassVar


class GatewayError(Exception):
    """Base of all. `message` is for the caller, `param` the field it is about, `retry_after` in seconds."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.error_code = code or self.code
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The JSON body, OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.kind, "code": self.error_code, "param": self.param}}


class BadRequestError(GatewayError):
    """The client asked for what cannot be done."""

    status, kind, code = 400, "invalid_request_error", "invalid_value"


class UnauthorizedError(GatewayError):
    """No API key, or one that is not known."""

    status, kind, code = 401, "authentication_error", "invalid_api_key"


class NotFoundError(GatewayError):
    """No such path, model or revision."""

    status, kind, code = 404, "invalid_request_error", "not_found"


class TooLargeError(GatewayError):
    """The body is longer than the door lets in."""

    status, kind, code = 413, "invalid_request_error", "body_too_large"


class OverloadedError(GatewayError):
    """More requests run than the door lets in."""

    status, kind, code = 429, "rate_limit_error", "overloaded"


class UpstreamError(GatewayError):
    """An upstream did not do its part."""

    status, code = 503, "upstream_error"


class UnavailableError(UpstreamError):
    """An upstream is down, or nothing can answer yet."""

    status, code = 503, "unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, code=code, retry_after=retry_after)


class UpstreamInvalidError(UpstreamError):
    """An upstream answered, and its answer must not be used."""

    status, code = 502, "upstream_invalid"


class DeadlineExceededError(UpstreamError):
    """The request's time ran out."""

    status, code = 504, "deadline_exceeded"
