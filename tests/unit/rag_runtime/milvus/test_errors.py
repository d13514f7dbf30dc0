"""What the client's exceptions become."""

from __future__ import annotations

import grpc  # type: ignore[import-untyped]
import pytest
from pymilvus.exceptions import MilvusException

from rag_runtime.milvus.errors import ClosedError, LoginError, MilvusError, RefusedError, TooLargeError, UnavailableError, translated
from rag_runtime.milvus.store import MilvusIndex

UNTRUSTED = "failed to connect to all addresses; last error: Tls handshake failed: CERTIFICATE_VERIFY_FAILED: unable to get issuer"


class Transport(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """A call that gRPC gave up."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


Transport.__abstractmethods__ = frozenset()


def fail(error: Transport, is_wrapped: bool) -> None:
    with translated("look"):
        if not is_wrapped:
            raise error
        raise MilvusException(message="Fail connecting to server, illegal connection params or server unavailable") from error


@pytest.mark.parametrize(
    ("code", "details", "becomes"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "auth check failure", LoginError),
        (grpc.StatusCode.UNAVAILABLE, UNTRUSTED, LoginError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: trying to send message larger than max (102533552 vs. 67108864)", TooLargeError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate limit exceeded", UnavailableError),
        (grpc.StatusCode.PERMISSION_DENIED, "no privilege", RefusedError),
        (grpc.StatusCode.UNAVAILABLE, "connection refused", UnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", UnavailableError),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_transport_error_says_what_grpc_said(code: grpc.StatusCode, details: str, becomes: type[MilvusError], is_wrapped: bool) -> None:
    with pytest.raises(becomes, match=f"failed to look: {code.name}: {details[:20]}") as raised:
        fail(Transport(code, details), is_wrapped)
    assert type(raised.value) is becomes


@pytest.mark.parametrize(
    "message",
    [
        "query results exceed the maxOutputSize Limit 104857600",
        "fail to Query on QueryNode 4: worker(4) query failed: query results exceed the limit size",
        "grpc: received message larger than max (215849469 vs. 104857600): connection reset",
    ],
)
def test_an_answer_that_is_too_large_is_not_asked_for_again_as_it_is(message: str) -> None:
    with pytest.raises(TooLargeError), translated("read x"):
        raise MilvusException(65535, message)


@pytest.mark.parametrize(
    "error", [ValueError("Cannot invoke RPC on closed channel!"), MilvusException(1, "should create connection first")]
)
def test_a_connection_that_we_closed_is_not_asked_again(error: Exception) -> None:
    class Closed:
        calls = 0

        def query(self, *_: object, **__: object) -> None:
            self.calls += 1
            raise error

    client, slept = Closed(), list[float]()
    with pytest.raises(ClosedError):
        MilvusIndex(client, "x", sleep=slept.append).count_chunks()  # type: ignore[arg-type]
    assert (client.calls, slept) == (1, [])
