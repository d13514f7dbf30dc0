"""The exceptions of the embeddings client; the tree is drawn in the package's docstring."""

from __future__ import annotations


class EmbeddingError(Exception):
    """Anything that kept texts from being embedded."""


class RejectedError(EmbeddingError):
    """The server understood and refused (4xx)."""

    def __init__(self, message: str, *, status: int, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


class TextTooLongError(RejectedError):
    """A text has more tokens than the model takes."""

    @property
    def index(self) -> int | None:
        """Position of the text in the call, when the server named it as `input[7]`."""
        digits = (self.param or "").removeprefix("input[").removesuffix("]")
        return int(digits) if digits.isdigit() else None


class InvalidAnswerError(EmbeddingError):
    """An answer that cannot be the embeddings of what was sent."""


class UnavailableError(EmbeddingError):
    """No answer, or a server error."""


class OverloadedError(UnavailableError):
    """The server sheds load."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceededError(UnavailableError):
    """The time the caller gave is over."""
