"""Reading an index: one vector search, asynchronously, on Milvus' own protocol.

pymilvus' generated protocol classes are used without its client: the client retries 75 times by itself and copies each row several
times, where a gateway needs its own deadline, its own retry budget and the columns as they come. Reads are Bounded: a Strong read
waits for the log and costs two orders of magnitude more.

    SearchError
    ├── SearchUnavailableError    transport failed, or the collection is not loaded yet; another attempt may succeed
    │   └── SearchTimeoutError    the time the caller gave is over
    ├── SearchRejectedError       the server understood and refused: expression, dimension, missing collection, credentials
    │   └── SearchTooLargeError   the rows asked for are more bytes than one answer carries; fewer may be given
    └── SearchInvalidError        an answer that cannot be the result of what was asked
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import numpy as np
import orjson
from numpy.typing import NDArray
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from rag_runtime.contracts import collections as fields
from rag_runtime.milvus.connection import CHANNEL_OPTIONS
from rag_runtime.milvus.errors import is_too_large

# Milvus' own bound on one search's rows.
MAX_ROWS = 16_384
OUTPUT_FIELDS = (
    fields.DOCUMENT,
    fields.TEXT,
    fields.ORDINAL,
    fields.SPAN_START,
    fields.SPAN_END,
    fields.TITLE,
    fields.URI,
    fields.METADATA,
)

# How long a channel that was left is kept for the searches on it. Each has a deadline of its own, which ends it before.
_LEAVE_SECONDS = 600.0
# The value of `guarantee_timestamp` that stands for Bounded.
_BOUNDED_TIMESTAMP = 2
# Milvus 2.3 error codes of a collection that exists and cannot be searched at this moment: not loaded, not fully loaded, no replica
# or shard leader, node not ready, rate limit, and the server still starting or stopping.
_LATER = frozenset({1, 2, 4, 7, 8, 9, 101, 103, 400, 401, 503, 600, 800, 901, 902, 904})
_CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A peer that vanished without a word is noticed in some 15 s; the deadline bounds each call before that.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    *CHANNEL_OPTIONS.items(),
    # Without this a server that came back is tried again after up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class SearchError(Exception):
    """Anything that kept an index from being searched."""


class SearchUnavailableError(SearchError):
    """The server cannot be reached, or cannot search the collection now."""


class SearchTimeoutError(SearchUnavailableError):
    """The time ran out."""


class SearchRejectedError(SearchError):
    """The server refused the search."""


class SearchTooLargeError(SearchRejectedError):
    """The answer has more bytes than the server gives at once, or than gRPC carries."""


class SearchInvalidError(SearchError):
    """The server's answer does not fit the question."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that was found. `score` is the metric's own: for COSINE and IP more is better, for L2 less."""

    score: float
    document: str
    text: str
    ordinal: int
    start: int
    end: int
    title: str
    uri: str
    metadata: dict[str, Any]


class SearchClient:
    """Searches collections of one Milvus database. Keeps one connection; may be used by many tasks at once.

    `credentials` is a directory with `token`, or `username` and `password`, and maybe `ca.crt`; it is read for every call, so that a
    rotated Secret is picked up.
    """

    def __init__(
        self,
        address: str,
        *,
        database: str = "default",
        tls: bool = False,
        server_name: str | None = None,
        credentials: Path | None = None,
    ) -> None:
        self._address = address
        self._database = database
        self._tls = tls
        self._server_name = server_name
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._trusted: bytes | None = None
        self._failed = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connection; searches in flight are cancelled, those on a channel that was left end by their own deadlines."""
        for task in self._leaving:
            task.cancel()
        if self._channel is not None:
            channel, self._channel, self._stub = self._channel, None, None
            await channel.close()

    def _leave(self) -> None:
        """Connect anew for the next search; those in flight end on the channel they are on."""
        if self._channel is not None:
            channel, self._channel, self._stub = self._channel, None, None
            task = asyncio.create_task(channel.close(grace=_LEAVE_SECONDS))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def search(
        self,
        collection: str,
        vector: NDArray[np.float32],
        *,
        limit: int,
        metric: str,
        parameters: Mapping[str, Any],
        expression: str = "",
        timeout: float,
    ) -> list[Hit]:
        """The best `limit` chunks for `vector`, best first, within `timeout` seconds. Raises a `SearchError`."""
        request = _request(self._database, collection, vector, limit, metric, parameters, expression)
        self._trust_anew()
        try:
            answer = await self._rpc().Search(request, timeout=timeout, metadata=self._call_metadata())
        except grpc.aio.AioRpcError as error:
            self._failed = True
            raise _transport_error(error, self._address) from error
        _check_status(answer.status, collection)
        return _hits(answer.results, limit)

    def _rpc(self) -> Any:
        if self._stub is None:
            self._channel = self._connect()
            self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)
        return self._stub

    def _connect(self) -> grpc.aio.Channel:
        if not self._tls:
            return grpc.aio.insecure_channel(self._address, options=_CHANNEL_OPTIONS)
        self._trusted = self._authority()
        named = (("grpc.ssl_target_name_override", self._server_name),) if self._server_name else ()
        return grpc.aio.secure_channel(self._address, grpc.ssl_channel_credentials(self._trusted), options=(*_CHANNEL_OPTIONS, *named))

    def _authority(self) -> bytes | None:
        path = self._credentials / "ca.crt" if self._credentials else None
        return path.read_bytes() if path and path.exists() else None

    def _trust_anew(self) -> None:
        """A channel trusts for its whole life what it was made with: one that failed is left when the authority was replaced."""
        failed, self._failed = self._failed, False
        if failed and self._tls and self._authority() != self._trusted:
            self._leave()

    def _call_metadata(self) -> tuple[tuple[str, str], ...]:
        named = (("dbname", self._database),) if self._database != "default" else ()
        login = _login(self._credentials) if self._credentials else None
        return (*named, ("authorization", base64.b64encode(login.encode()).decode())) if login else named


def _login(directory: Path) -> str | None:
    """The token, or `username:password`, that a credentials directory holds."""
    try:
        if (token := directory / "token").exists():
            return token.read_text().strip()
        if (username := directory / "username").exists():
            return f"{username.read_text().strip()}:{(directory / 'password').read_text().strip()}"
    except OSError as error:
        raise SearchUnavailableError(f"failed to read the Milvus credentials: {error.strerror}") from error
    return None


def effective_parameters(parameters: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Search parameters for `limit` rows: a graph index must look at no fewer candidates than it returns."""
    return {**parameters, "ef": max(int(parameters["ef"]), limit)} if "ef" in parameters else dict(parameters)


def _request(  # noqa: PLR0917
    database: str, collection: str, vector: NDArray[np.float32], limit: int, metric: str, parameters: Mapping[str, Any], expression: str
) -> Any:
    options = {
        "anns_field": fields.VECTOR,
        "topk": str(limit),
        "metric_type": metric,
        "round_decimal": "-1",
        "params": orjson.dumps(effective_parameters(parameters, limit)).decode(),
    }
    placeholder = common_pb2.PlaceholderValue(
        tag="$0", type=common_pb2.PlaceholderType.FloatVector, values=[np.asarray(vector, "<f4").tobytes()]
    )
    return milvus_pb2.SearchRequest(
        db_name="" if database == "default" else database,
        collection_name=collection,
        dsl=expression,
        dsl_type=common_pb2.DslType.BoolExprV1,
        placeholder_group=common_pb2.PlaceholderGroup(placeholders=[placeholder]).SerializeToString(),
        output_fields=OUTPUT_FIELDS,
        search_params=[common_pb2.KeyValuePair(key=key, value=value) for key, value in options.items()],
        guarantee_timestamp=_BOUNDED_TIMESTAMP,
        consistency_level=common_pb2.ConsistencyLevel.Bounded,
        use_default_consistency=False,
        nq=1,
    )


def _transport_error(error: grpc.aio.AioRpcError, address: str) -> SearchError:
    code = error.code()
    text = f"failed to search on {address}: {code.name}: {(error.details() or '')[:400]}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return SearchTimeoutError(text)
    if is_too_large(text):
        return SearchTooLargeError(text)
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED):
        return SearchRejectedError(text)
    return SearchUnavailableError(text)


def _check_status(status: Any, collection: str) -> None:
    """Servers before 2.3 set only `error_code`, later ones `code` too."""
    if status.code == 0 and status.error_code == 0:
        return
    text = f"failed to search {collection}: {status.reason[:300]} (code {status.code or status.error_code})"
    if is_too_large(text):
        raise SearchTooLargeError(text)
    if status.retriable or status.code in _LATER or "not loaded" in status.reason:
        raise SearchUnavailableError(text)
    raise SearchRejectedError(text)


def _hits(results: Any, limit: int) -> list[Hit]:
    scores = list(results.scores)
    count = results.topks[0] if results.topks else 0
    if count == 0:
        return []
    if count > limit or len(scores) != count or not all(math.isfinite(score) for score in scores):
        raise SearchInvalidError(f"{len(scores)} scores for {count} rows, asked for {limit}")
    columns = {column.field_name: _column(column) for column in results.fields_data}
    missing = [name for name in OUTPUT_FIELDS if len(columns.get(name, ())) != count]
    if missing:
        raise SearchInvalidError(f"field {missing[0]} is not there for each of {count} rows")
    columns[fields.METADATA] = [_metadata(value) for value in columns[fields.METADATA]]
    return [Hit(*row) for row in zip(scores, *(columns[name] for name in OUTPUT_FIELDS), strict=True)]


def _column(column: Any) -> Sequence[Any]:
    kind = column.scalars.WhichOneof("data")
    return () if kind is None else list(getattr(column.scalars, kind).data)


def _metadata(value: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(value) if value else {}
    except orjson.JSONDecodeError as error:
        raise SearchInvalidError("metadata of a row is not JSON") from error
    return parsed if isinstance(parsed, dict) else {}
