"""The exceptions of the Milvus port; the tree is drawn in the package's docstring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc  # type: ignore[import-untyped]
from pymilvus.exceptions import MilvusException, MilvusUnavailableException

# Error codes of the server (internal/util/merr).
_COLLECTION_NOT_FOUND = 100
_COLLECTION_NOT_LOADED = 101
_COLLECTION_NOT_FULLY_LOADED = 103
# What a server that starts, stops or is cut off says; also the client's own codes for it.
_NOT_NOW = frozenset({2, 3, 4, 5, 8, 9, 500, 501, 503, 600, 901})
_WORDS_OF_NOT_NOW = ("not ready", "unavailable", "deadline exceeded", "timeout", "connection", "no available", "channel", "not healthy")


class MilvusError(Exception):
    """Anything that kept a call to Milvus from doing what it says."""


class UnavailableError(MilvusError):
    """No answer, or "not now": another attempt may succeed."""


class NotLoadedError(UnavailableError):
    """The collection is there but cannot be queried yet; right after a server's start that passes by itself."""


class ClosedError(UnavailableError):
    """The connection was closed from our side: this process lets go, and another attempt on it cannot succeed."""


class MissingError(MilvusError):
    """There is no such collection."""


class NotOursError(MilvusError):
    """The collection's properties name another cluster, namespace or index."""


class UnsupportedError(MilvusError):
    """This server lacks what the index needs."""


class IncompleteReadError(MilvusError):
    """An enumeration did not find as many rows as were counted."""


class RefusedError(MilvusError):
    """The server understood and refused."""


class LoginError(RefusedError):
    """No way in: a wrong name or password, or a certificate that is not trusted. A Secret that is replaced may help."""


class TooLargeError(RefusedError):
    """The answer has more bytes than the server gives at once (`maxOutputSize`), or than gRPC carries. Asking for less helps."""


_WORDS_OF_TOO_LARGE = ("maxoutputsize", "exceed the limit size", "maximum output size", "message larger than max")
# What gRPC says of a certificate that our authority did not issue, that names another host, and of an authority that is no certificate.
_WORDS_OF_NO_TRUST = ("certificate_verify_failed", "hostname verification", "security handshaker")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the client raises into this module's exceptions, with `failed to <doing>` in front."""
    try:
        yield
    except MilvusException as error:
        # The client's own words for whatever keeps it from connecting name no reason; gRPC's do.
        if isinstance(error.__cause__, grpc.RpcError):
            raise _of_transport(doing, error.__cause__) from error
        raise _of(error)(f"failed to {doing}: {error.message or error}") from error
    except grpc.RpcError as error:
        raise _of_transport(doing, error) from error
    except (OSError, TimeoutError) as error:
        raise UnavailableError(f"failed to {doing}: {type(error).__name__}: {error}") from error
    except ValueError as error:
        if not _is_closed(error):
            raise
        raise ClosedError(f"failed to {doing}: {error}") from error


def _of_transport(doing: str, error: grpc.RpcError) -> MilvusError:
    if not isinstance(error, grpc.Call):
        return UnavailableError(f"failed to {doing}: {type(error).__name__}: {error}")
    code, details = error.code(), error.details() or ""
    text = f"failed to {doing}: {code.name}: {details}"
    if code is grpc.StatusCode.UNAUTHENTICATED or any(words in details.lower() for words in _WORDS_OF_NO_TRUST):
        return LoginError(text)
    if is_too_large(details):
        return TooLargeError(text)
    return RefusedError(text) if code is grpc.StatusCode.PERMISSION_DENIED else UnavailableError(text)


def _is_closed(error: Exception) -> bool:
    """What the client raises, in the middle of a call and at the next one, when another thread closed it."""
    return any(words in str(error).lower() for words in ("closed channel", "should create connection first"))


def is_too_large(message: str) -> bool:
    """The servers give it no code of its own, and some say that it may be tried again."""
    return any(words in message.lower() for words in _WORDS_OF_TOO_LARGE)


def _of(error: MilvusException) -> type[MilvusError]:
    if _is_closed(error):
        return ClosedError
    if error.code == _COLLECTION_NOT_FOUND:
        return MissingError
    message = str(error.message).lower()
    if is_too_large(message):
        return TooLargeError
    if error.code in (_COLLECTION_NOT_LOADED, _COLLECTION_NOT_FULLY_LOADED) or "not loaded" in message:
        return NotLoadedError
    if isinstance(error, MilvusUnavailableException) or error.retriable:
        return UnavailableError
    if error.code in _NOT_NOW or any(words in message for words in _WORDS_OF_NOT_NOW):
        return UnavailableError
    return RefusedError
