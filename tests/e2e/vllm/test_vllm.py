"""A pipeline whose generator is vLLM on a CPU, in the real cluster: streams, scaling on its queue, a change of the LLM alone, drain.

Outside `make test`, for its image has 3 GB: `make e2e-vllm` builds it and runs this. The model is tiny and random: it proves the path.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from cluster.full import Cluster
from cluster.network import NODE_ADDRESS
from demo.pipeline import MINILM
from e2e.namespaces import Namespace
from e2e.rollouts import NAME, Library, library, pipeline
from rag_runtime.contracts import headers

READY = 900  # vLLM on two busy cores takes its time
QUICK = {"canary": {"steps": [{"setWeight": 50}, {"pause": {"duration": "10s"}}]}, "evaluation": None, "abortDelay": "5s"}


@dataclass(frozen=True)
class Chat:
    """A chat completion as its client saw it."""

    revision: str
    pieces: int
    done: bool
    first: float  # seconds to the first piece


def generator(cluster: Cluster, name: str) -> dict[str, Any]:
    return {
        "vllm": {
            "model": {"name": name, "revision": "1", "source": {"image": {"reference": cluster.image("tiny-llm"), "path": name}}},
            "image": cluster.image("generator"),
            "maxModelLen": 2048,
            "extraArgs": ["--dtype=bfloat16", "--enforce-eager", "--max-num-seqs=4"],
            "drainTimeout": "60s",
            "autoscaling": {"minReplicas": 1, "maxReplicas": 2, "targetQueueLength": 8, "scaleDownWindow": "120s"},
            # Of two cores: the first one's answers must leave the second one enough to start.
            "pod": {"resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "900m", "memory": "6Gi"}}},
        },
        "sampling": {"temperature": 0.7, "maxTokens": 200},
    }


@pytest.fixture
def handbook(make_namespace: Callable[..., Namespace], cluster: Cluster) -> Iterator[Library]:
    with library(make_namespace({"pod-security.kubernetes.io/enforce": "restricted"})) as found:
        yield found


def apply(handbook: Library, cluster: Cluster, name: str) -> None:
    document = pipeline(handbook, MINILM, QUICK)
    document["spec"]["generator"] = generator(cluster, name)
    document["spec"]["retrieval"] = {"topK": 2}
    handbook.namespace.apply(document)


def url(handbook: Library) -> str:
    service = handbook.namespace.get("service", f"{NAME}-gateway")
    return f"http://{NODE_ADDRESS}:{next(port['nodePort'] for port in service['spec']['ports'] if port['name'] == 'http')}"


async def chat(http: httpx.AsyncClient, number: int, tokens: int = 150) -> Chat:
    begun, first, pieces, done = time.monotonic(), 0.0, 0, False
    body = {"model": NAME, "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": f"what is lift {number}"}]}
    async with http.stream("POST", "/v1/chat/completions", json=body, headers={headers.SESSION: str(number)}) as reply:
        assert reply.status_code == httpx.codes.OK, (await reply.aread())[:300]
        assert headers.MODE not in reply.headers, reply.headers[headers.MODE]
        async for line in events(reply):
            first = first or time.monotonic() - begun
            done = done or line == "[DONE]"
            pieces += line != "[DONE]" and bool(json.loads(line).get("choices"))
    return Chat(reply.headers[headers.REVISION], pieces, done, first)


async def events(reply: httpx.Response) -> AsyncIterator[str]:
    # Not aiter_lines: it takes characters for line ends that a random model likes to say.
    rest = b""
    async for chunk in reply.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                yield line.removeprefix(b"data: ").decode().strip()


def ready(handbook: Library) -> bool:
    status = handbook.status()
    return status.get("phase") == "Ready" and not status.get("candidate")


def replicas(handbook: Library, component: str) -> int:
    return int((handbook.namespace.get("deployment", component).get("status") or {}).get("readyReplicas") or 0)


async def keep_asking(handbook: Library, clients: int, until: Callable[[], bool], seconds: float) -> list[Chat]:
    """`clients` chats at a time until the probe is true; none may break."""
    found: list[Chat] = []
    over = asyncio.Event()

    async def client(http: httpx.AsyncClient, number: int) -> None:
        while not over.is_set():
            found.append(await chat(http, number + len(found)))

    async def watch() -> None:
        deadline = time.monotonic() + seconds
        try:
            while not await asyncio.to_thread(until):
                assert time.monotonic() < deadline, f"not within {seconds} s"
                await asyncio.sleep(0.5)  # between looks at the cluster
        finally:
            over.set()

    async with httpx.AsyncClient(base_url=url(handbook), timeout=300, trust_env=False) as http:
        await asyncio.gather(watch(), *(client(http, number) for number in range(clients)))
    return found


@pytest.mark.timeout(3000)
def test_vllm_answers_scales_changes_and_drains(handbook: Library, cluster: Cluster) -> None:
    apply(handbook, cluster, "tiny")
    begun = time.monotonic()
    handbook.until("the first revision to serve", lambda: ready(handbook), READY)
    print(f"applied to Ready: {time.monotonic() - begun:.0f} s")
    handbook.until_answering()
    first = handbook.status()["stable"]

    chats = asyncio.run(keep_asking(handbook, 1, lambda: True, 60))
    assert all(one.done and one.pieces for one in chats), chats  # how many tokens come in a piece is vLLM's business
    print(f"one stream: {chats[0].pieces} pieces, first after {chats[0].first:.2f} s")

    begun = time.monotonic()
    loaded = asyncio.run(keep_asking(handbook, 16, lambda: replicas(handbook, first["generator"]) == 2, READY))
    print(f"load to a second vLLM Ready: {time.monotonic() - begun:.0f} s, {len(loaded)} streams")
    assert all(one.done for one in loaded)

    pod = handbook.namespace.kubectl("get", "pods", "-l", f"ragops.dev/component={first['generator']}", "-o", "name").split()[0]
    drained = asyncio.run(
        keep_asking(handbook, 4, lambda: bool(handbook.namespace.kubectl("delete", pod, "--wait=true", timeout=150)) or True, 200)
    )
    assert all(one.done for one in drained), "a stream broke while its pod drained"

    indexes = set(handbook.namespace.kubectl("get", "ragindexes", "-o", "name").split())
    apply(handbook, cluster, "tiny2")
    changed = asyncio.run(
        keep_asking(handbook, 2, lambda: ready(handbook) and handbook.status()["stable"]["revision"] != first["revision"], READY)
    )
    second = handbook.status()["stable"]
    assert (second["index"], second["embedder"]) == (first["index"], first["embedder"]), "a new LLM shares embedder and index"
    assert set(handbook.namespace.kubectl("get", "ragindexes", "-o", "name").split()) == indexes
    assert all(one.done for one in changed)
    assert {one.revision for one in changed} == {first["revision"], second["revision"]}
    print(f"LLM changed under {len(changed)} streams, none broken")
