"""Arguments of `vllm serve` that a pipeline may pass on.

A list of what is allowed, not of what is forbidden: vLLM accepts abbreviations of its options, and new versions bring new
ones that load code or open doors. Names are compared whole; a value follows after `=`.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from rag_operator.api.rules import matches

ALLOWED: Final = (
    "async-scheduling",
    "attention-backend",
    "block-size",
    "calculate-kv-scales",
    "cpu-offload-gb",
    "cuda-graph-sizes",
    "disable-cascade-attn",
    "disable-custom-all-reduce",
    "disable-log-stats",
    "dtype",
    "enable-auto-tool-choice",
    "enable-chunked-prefill",
    "enable-expert-parallel",
    "enable-prefix-caching",
    "enforce-eager",
    "gpu-memory-utilization",
    "kv-cache-dtype",
    "kv-cache-memory-bytes",
    "limit-mm-per-prompt",
    "long-prefill-token-threshold",
    "max-cudagraph-capture-size",
    "max-logprobs",
    "max-long-partial-prefills",
    "max-num-batched-tokens",
    "max-num-partial-prefills",
    "max-num-seqs",
    "max-parallel-loading-workers",
    "max-seq-len-to-capture",
    "no-async-scheduling",
    "no-enable-chunked-prefill",
    "no-enable-prefix-caching",
    "num-gpu-blocks-override",
    "optimization-level",
    "preemption-mode",
    "quantization",
    "reasoning-parser",
    "safetensors-load-strategy",
    "scheduling-policy",
    "seed",
    "skip-mm-profiling",
    "swap-space",
    "tokenizer-mode",
    "tool-call-parser",
    "uvicorn-log-level",
)

_MESSAGE: Final = (
    "must be --name or --name=value in one item, where name tunes the engine; what loads code, opens the server or is set from "
    "other fields is refused. Allowed names: " + ", ".join(ALLOWED)
)

EXTRA_ARGUMENT = Annotated[
    str,
    Field(min_length=3, max_length=512),
    matches(rf"--({'|'.join(ALLOWED)})(=[^\x00-\x1f/]*)?", _MESSAGE),
]
