"""What can go wrong, and how it is told.

ModelError       the model cannot be served: the process says why and ends
RequestError     an answer with a status and OpenAI's error object
├── BadRequest-like ones are made by `bad_request`
└── QueueFullError   429 with the seconds after which a retry makes sense
EngineError      computing failed: 500, and the pod is restarted when it goes on
"""

from __future__ import annotations


class ModelError(Exception):
    """The weights, tokenizer or settings cannot be served."""


class EngineError(Exception):
    """A batch could not be computed."""


class RequestError(Exception):
    """A request is answered with `status` and OpenAI's error object."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers: dict[str, str] = {}

    @property
    def kind(self) -> str:
        """OpenAI's `type`."""
        return "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"


def bad_request(message: str, param: str | None = None, code: str | None = None) -> RequestError:
    """400: the request is wrong and will stay wrong."""
    return RequestError(400, message, param=param, code=code)


class QueueFullError(RequestError):
    """429: the lane's queue has no room for the call's texts."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(429, message, code="overloaded")
        self.headers = {"retry-after": str(retry_after)}
