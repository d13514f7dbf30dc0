"""A pipeline whose generator is vLLM on a CPU. Its model is random, so it proves the path and not the prose.

`make e2e-vllm` builds the image of 3 GB and runs this; `make e2e` leaves it out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from cluster.full import Cluster
from cluster.network import NODE_ADDRESS
from cluster.processes import wait_until
from demo.pipeline import STATIC
from e2e.namespaces import Namespace
from e2e.rollouts import NAME, Library, library, pipeline

ANSWER_SECONDS = 120
QUESTION = {"model": NAME, "messages": [{"role": "user", "content": "What is a boundary layer?"}], "stream": True}


@dataclass(frozen=True)
class Streamed:
    """One chat completion as its client saw it."""

    status: int
    mode: str | None
    revision: str
    events: tuple[str, ...]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def text(self) -> str:
        return "".join(choice["delta"].get("content", "") for chunk in self.chunks for choice in chunk.get("choices", ()))


@dataclass(frozen=True)
class Answering:
    """A pipeline with a generator, and its client."""

    handbook: Library

    def apply(self, system: str = "") -> None:
        cluster = self.handbook.namespace.cluster
        document = pipeline(self.handbook, STATIC, {})
        source = {"image": {"reference": cluster.image("tiny-llm"), "path": "tiny"}}
        document["spec"]["generator"] = {
            "vllm": {
                "model": {"name": "tiny", "revision": "1", "source": source},
                "image": cluster.image("generator"),
                "maxModelLen": 2048,
                "extraArgs": ["--dtype=bfloat16", "--enforce-eager", "--max-num-seqs=32"],
                "sharedMemory": "1Gi",
                "drainTimeout": "20s",
                "pod": {"resources": {"requests": {"cpu": "100m", "memory": "2Gi"}}},
            },
            "prompt": {"system": system},
            "sampling": {"maxTokens": 64},
        }
        document["spec"]["rollout"]["strategy"] = "Immediate"
        document["spec"]["rollout"].pop("canary", None)
        self.handbook.namespace.apply(document)

    def ask(self) -> Streamed:
        service = self.handbook.namespace.get("service", f"{NAME}-gateway")
        port = next(port["nodePort"] for port in service["spec"]["ports"] if port["name"] == "http")
        url = f"http://{NODE_ADDRESS}:{port}/v1/chat/completions"
        asked = {**QUESTION, "stream_options": {"include_usage": True}}
        with httpx.stream("POST", url, json=asked, timeout=ANSWER_SECONDS, trust_env=False) as response:
            # Not iter_lines: it takes characters for line ends that a random model likes to say.
            lines = b"".join(response.iter_bytes()).split(b"\n")
            events = tuple(line[6:].decode().strip() for line in lines if line.startswith(b"data: "))
        said = response.headers
        return Streamed(response.status_code, said.get("x-rag-mode"), said.get("x-rag-revision", ""), events)

    def components(self, kind: str) -> list[str]:
        listed = self.handbook.namespace.kubectl("get", "deployments", "-l", f"ragops.dev/kind={kind}", "-o", "name")
        return sorted(listed.split())


@pytest.fixture
def answering(make_namespace: Callable[..., Namespace], cluster: Cluster) -> Iterator[Answering]:
    with library(make_namespace({"pod-security.kubernetes.io/enforce": "restricted"})) as found:
        yield Answering(found)


def test_answers_are_generated_cited_and_fall_back_to_passages_while_the_generator_is_away(answering: Answering) -> None:
    answering.apply()
    answering.handbook.until_answering()
    first = answering.handbook.role("stable")

    whole = answering.ask()
    assert (whole.status, whole.mode, whole.revision, whole.events[-1]) == (200, None, first, "[DONE]")
    assert whole.text
    assert whole.chunks[0]["citations"][0]["document"].startswith("cranfield/")
    usage = whole.chunks[-1]["usage"]
    assert usage["completion_tokens"] <= 64
    assert usage["prompt_tokens"] + usage["completion_tokens"] <= 2048

    # Another prompt is another revision, and nothing else: no index is built and no pod is replaced.
    built, generators = answering.components("embedder"), answering.components("generator")
    answering.apply(system="Answer in one sentence.")
    answering.handbook.until("the new prompt to serve", lambda: answering.handbook.role("stable") not in ("", first))
    wait_until(lambda: answering.ask().revision == answering.handbook.role("stable"), 60, "answers by the new prompt", 0.5)
    assert (answering.components("embedder"), answering.components("generator")) == (built, generators)
    assert len(answering.handbook.namespace.kubectl("get", "ragindexes", "-o", "name").split()) == 1

    answering.handbook.namespace.kubectl("delete", "pods", "-l", "ragops.dev/kind=generator", "--grace-period=0", "--force")
    wait_until(lambda: answering.ask().mode == "passages", 60, "an answer without the generator", 0.2)
    wait_until(lambda: answering.ask().mode is None, 300, "the generator to be back", 1)
