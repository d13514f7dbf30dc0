"""Upstreams that answer at once with prepared bytes: an embedder and a generator over HTTP, Milvus over gRPC. A process of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import numpy as np
import uvloop
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc, schema_pb2

from rag_runtime.contracts import headers

DIMENSIONS = 384
PASSAGES = 8
TOKENS = 16
FINGERPRINT = "bench"
PASSAGE = "The boundary layer over a flat plate was examined at several Mach numbers and the heat transfer was compared with theory. " * 8


def _http(body: bytes, content_type: str, more: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _embedding() -> bytes:
    vector = base64.b64encode(np.full(DIMENSIONS, DIMENSIONS**-0.5, "<f4").tobytes()).decode()
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": vector}], "model": "bench"}
    return _http(json.dumps(body).encode(), "application/json", f"{headers.FINGERPRINT}: {FINGERPRINT}\r\n")


def _generation() -> bytes:
    deltas = [{"role": "assistant", "content": ""}, *({"content": f"word{i} "} for i in range(TOKENS))]
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return _http("".join([*lines, "data: [DONE]\n\n"]).encode(), "text/event-stream")


class _Prepared(asyncio.Protocol):
    """Answers every POST with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._held = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            self._transport.write(self._answer)


def search_results() -> Any:
    """What a search answers: eight passages of a thousand characters."""
    scores = [0.9 - i / 100 for i in range(PASSAGES)]
    results = schema_pb2.SearchResultData(num_queries=1, top_k=PASSAGES, scores=scores, topks=[PASSAGES])
    texts = {"document": "docs/1.md", "text": PASSAGE, "title": "Heat transfer", "uri": "https://docs.example/1"}
    for name, value in texts.items():
        scalars = schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=[value] * PASSAGES))
        results.fields_data.append(schema_pb2.FieldData(field_name=name, scalars=scalars))
    for name in ("ordinal", "span_start", "span_end"):
        scalars = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=list(range(PASSAGES))))
        results.fields_data.append(schema_pb2.FieldData(field_name=name, scalars=scalars))
    scalars = schema_pb2.ScalarField(json_data=schema_pb2.JSONArray(data=[b'{"department": "physics"}'] * PASSAGES))
    results.fields_data.append(schema_pb2.FieldData(field_name="metadata", scalars=scalars))
    return milvus_pb2.SearchResults(results=results)


class _Milvus(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self._answer = search_results()

    async def Search(self, request: Any, context: Any) -> Any:
        return self._answer


async def main() -> None:
    """Serve until standard input closes; the ports are printed as JSON."""
    loop = asyncio.get_running_loop()
    ports = {}
    for name, answer in (("embedder", _embedding()), ("generator", _generation())):
        server = await loop.create_server(lambda answer=answer: _Prepared(answer), "127.0.0.1", 0)  # type: ignore[misc]
        ports[name] = server.sockets[0].getsockname()[1]
    milvus = grpc.aio.server()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(_Milvus(), milvus)
    ports["milvus"] = milvus.add_insecure_port("127.0.0.1:0")
    await milvus.start()
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await milvus.stop(None)


if __name__ == "__main__":
    uvloop.run(main())
