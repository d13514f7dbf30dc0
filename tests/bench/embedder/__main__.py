"""`python -m bench.embedder [--seconds 8] [--output FILE]`: the comparison, as a Markdown table.

Ours in each precision and infinity-emb take turns, `--rounds` times, so that a machine that drifts drifts for all; medians are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from bench.embedder import load, servers
from bench.embedder.load import Result, Vectors
from bench.embedder.servers import Target
from cluster.models import model_dir
from cluster.paths import REPOSITORY

CONCURRENCIES = (1, 16, 64)
TOKENS = 32
TEXTS = 512
COMPARED = 64  # texts whose vectors are compared
WARM_UP_SECONDS = 2.0

Server = Callable[[], AbstractAsyncContextManager[Target]]
BASE = "infinity-emb 0.0.78"
SERVERS: dict[str, Server] = {
    BASE: servers.infinity,
    "ours, Auto": lambda: servers.ours("Auto"),
    "ours, Float32": lambda: servers.ours("Float32"),
    "ours, Int8": lambda: servers.ours("Int8"),
}


def texts() -> list[str]:
    """Passages of Cranfield of about `TOKENS` tokens, special tokens included."""
    tokenizer = Tokenizer.from_file(str(model_dir("minilm") / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    lines = (REPOSITORY / "tests/data/cranfield/documents.jsonl").read_text().splitlines()
    found: list[str] = []
    for line in lines:
        text = json.loads(line)["text"]
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        if len(offsets) >= TOKENS:
            # 24 to 36 tokens and the two special ones.
            length = 24 + len(found) % 13
            found.append(text[: offsets[length - 1][1]])
    return found[:TEXTS]


async def measure(target: Target, passages: Sequence[str], seconds: float) -> tuple[dict[int, Result], Vectors]:
    """Every concurrency on a running server, and some of its vectors."""
    messages = [load.request(target.url, "minilm", [text]) for text in passages]
    await load.run(target.url, messages, 16, WARM_UP_SECONDS)
    results = {}
    for concurrency in CONCURRENCIES:
        before = target.processor_seconds()
        result = await load.run(target.url, messages, concurrency, seconds)
        results[concurrency] = replace(result, processor=target.processor_seconds() - before)
    return results, await load.vectors(target.url, messages[:COMPARED])


async def beside_bulk(passages: Sequence[str], seconds: float) -> tuple[Result, Result]:
    """Queries of one client on an idle server, and beside a client that sends bulk work without a pause."""
    async with servers.ours("Auto") as target:
        url = target.url
        queries = [load.request(url, "minilm", [text]) for text in passages]
        bulk = [load.request(url, "minilm", [text * 5 for text in passages[:256]], "bulk")]
        await load.run(url, queries, 1, WARM_UP_SECONDS)
        idle = await load.run(url, queries, 1, seconds)
        busy = asyncio.create_task(load.run(url, bulk, 2, seconds + 1))
        beside = await load.run(url, queries, 1, seconds)
        await busy
    return idle, beside


def in_process(precision: str, passages: Sequence[str], seconds: float) -> dict[int, float]:
    """Texts a second of the engine alone, by the concurrency it stands for."""
    command = [sys.executable, "-m", "bench.embedder.in_process", precision, str(seconds)]
    done = subprocess.run(command, input=json.dumps(list(passages)), capture_output=True, text=True, check=True)
    return {int(concurrency): rate for concurrency, rate in json.loads(done.stdout.splitlines()[-1]).items()}


async def compare(seconds: float, rounds: int) -> str:
    """The whole comparison as Markdown."""
    passages = texts()
    runs: dict[str, list[dict[int, Result]]] = {name: [] for name in SERVERS}
    found: dict[str, Vectors] = {}
    alone: dict[str, list[dict[int, float]]] = {name: [] for name in SERVERS if name.startswith("ours")}
    for _ in range(rounds):
        for name, server in SERVERS.items():
            async with server() as target:
                results, found[name] = await measure(target, passages, seconds)
            runs[name].append(results)
            if name in alone:
                alone[name].append(in_process(name.split(", ")[1], passages, seconds / 2))
    idle, beside = await beside_bulk(passages, seconds)
    return "\n".join([_header(seconds, rounds), *_table(runs, found, alone), "", _lanes(idle, beside)])


def _header(seconds: float, rounds: int) -> str:
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor, now = names[0] if names else "unknown", time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    return (
        f"all-MiniLM-L6-v2 over HTTP on {os.cpu_count()} cores ({processor}), the load generator on the same cores. "
        f"One text of 26 to 38 tokens a request, base64. {now} UTC, {rounds} rounds of {seconds:.0f} s each, medians. "
        f"The machine's load average at the end was {os.getloadavg()[0]:.1f}.\n"
    )


def _table(runs: dict[str, list[dict[int, Result]]], found: dict[str, Vectors], alone: dict[str, list[dict[int, float]]]) -> list[str]:
    exact = found["ours, Float32"]
    lines = [
        "| server | c | requests/s | ratio | p50 ms | p99 ms | p99 ratio | of engine alone | CPU ms | CPU ratio | cosine mean / min |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, rounds in runs.items():
        cosines = (found[name] * exact).sum(axis=1)
        for concurrency in CONCURRENCIES:
            ours = _medians([results[concurrency] for results in rounds])
            base = _medians([results[concurrency] for results in runs[BASE]])
            share = f"{ours.rate / statistics.median(each[concurrency] for each in alone[name]):.0%}" if name in alone else ""
            lines.append(
                f"| {name} | {concurrency} | {ours.rate:.0f} | {ours.rate / base.rate:.2f} | {ours.p50 * 1000:.1f} | {ours.p99 * 1000:.1f} "
                f"| {ours.p99 / base.p99:.2f} | {share} | {ours.processor * 1000:.2f} | {base.processor / ours.processor:.2f} "
                f"| {np.mean(cosines):.5f} / {np.min(cosines):.5f} |"
            )
    return lines


class _Medians(NamedTuple):
    rate: float
    p50: float
    p99: float
    processor: float


def _medians(results: Sequence[Result]) -> _Medians:
    return _Medians(
        statistics.median(each.rate for each in results),
        statistics.median(each.percentile(0.5) for each in results),
        statistics.median(each.percentile(0.99) for each in results),
        statistics.median(each.processor_per_request for each in results),
    )


def _lanes(idle: Result, beside: Result) -> str:
    (idle_p50, idle_p99), (busy_p50, busy_p99) = ([1000 * each.percentile(share) for share in (0.5, 0.99)] for each in (idle, beside))
    return (
        f"Queries of one client: p50 {idle_p50:.1f} ms and p99 {idle_p99:.1f} ms idle; p50 {busy_p50:.1f} ms and p99 {busy_p99:.1f} ms "
        "beside two clients that send bulk calls of 256 texts of about 150 tokens without a pause."
    )


def main() -> None:
    """Print the table; write it to a file too when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    import uvloop

    report = uvloop.run(compare(chosen.seconds, chosen.rounds))
    print(report)
    if chosen.output:
        chosen.output.write_text("# The embedder beside infinity-emb\n\n" + report + "\n")


if __name__ == "__main__":
    main()
