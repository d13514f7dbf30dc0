"""`python -m bench.embedder [--seconds 4] [--rounds 4] [--pause 0] [--output FILE]`: the comparison, as a Markdown table.

All servers stay up and take turns: in each round every concurrency is measured of one after the other, so that a machine that drifts
drifts for all. Medians over the rounds are shown. A measurement that others disturbed is repeated (`calm`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer

from bench.embedder import load, report, servers
from bench.embedder.calm import calmly, processor_seconds
from bench.embedder.load import Result
from bench.embedder.report import BASE, CONCURRENCIES, Alone, Findings
from bench.embedder.servers import Target
from cluster.models import model_dir
from cluster.paths import REPOSITORY

TOKENS = 32
TEXTS = 512
COMPARED = 64  # texts whose vectors are compared
WARM_UP_SECONDS = 2.0

Server = Callable[[], AbstractAsyncContextManager[Target]]
PRECISIONS = ("Auto", "Float32", "Int8")
SERVERS: dict[str, Server] = {BASE: servers.infinity, **{f"ours, {name}": partial(servers.ours, name) for name in PRECISIONS}}


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


async def compare(seconds: float, rounds: int, pause: float) -> Findings:
    """The whole comparison."""
    passages = texts()
    findings = Findings(seconds, rounds, os.getloadavg()[0])
    async with AsyncExitStack() as stack:
        targets = {name: await stack.enter_async_context(server()) for name, server in SERVERS.items()}
        engines = {f"ours, {name}": await stack.enter_async_context(_engine(name, passages)) for name in PRECISIONS}
        _say("all are up")
        for name, target in targets.items():
            messages = _messages(target, passages)
            await load.run(target.url, messages, 16, WARM_UP_SECONDS)
            findings.vectors[name] = await load.vectors(target.url, messages[:COMPARED])
        for number in range(rounds):
            for concurrency in CONCURRENCIES:
                # Who begins changes, so that nobody always runs after the same one.
                order = list(SERVERS)[number % len(SERVERS) :] + list(SERVERS)[: number % len(SERVERS)]
                for name in order:
                    result, others = await calmly(partial(_measured, targets[name], passages, concurrency, seconds), [targets[name].pid])
                    findings.add(name, concurrency, result, others)
                    await asyncio.sleep(pause)
                    _say(f"round {number + 1}: {name}, c={concurrency}: {result.rate:.0f}/s, others took {others:.0%}")
                    if name in engines:
                        rate, others = await calmly(partial(_alone, engines[name], concurrency, seconds / 2), [engines[name].pid])
                        findings.add_alone(name, concurrency, Alone(rate, others))
        findings.lanes = await _beside_bulk(targets["ours, Auto"], passages, 2 * seconds)
    return findings


def _messages(target: Target, passages: Sequence[str]) -> list[bytes]:
    return [load.request(target.url, "minilm", [text]) for text in passages]


async def _measured(target: Target, passages: Sequence[str], concurrency: int, seconds: float) -> Result:
    before = processor_seconds(target.pid)
    result = await load.run(target.url, _messages(target, passages), concurrency, seconds)
    return replace(result, processor=processor_seconds(target.pid) - before)


async def _beside_bulk(target: Target, passages: Sequence[str], seconds: float) -> tuple[Result, Result]:
    """Queries of one client on an idle server, and beside two clients that send bulk work without a pause."""
    queries = _messages(target, passages)
    bulk = [load.request(target.url, "minilm", [text * 5 for text in passages[:256]], "bulk")]

    async def beside() -> Result:
        busy = asyncio.create_task(load.run(target.url, bulk, 2, seconds + 1))
        found = await load.run(target.url, queries, 1, seconds)
        await busy
        return found

    idle, _ = await calmly(partial(load.run, target.url, queries, 1, seconds), [target.pid])
    busy, _ = await calmly(beside, [target.pid])
    return idle, busy


@asynccontextmanager
async def _engine(precision: str, passages: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The engine alone, in a process that measures when it is asked to."""
    process = await servers.child("bench.embedder.in_process", precision)
    assert process.stdin is not None
    process.stdin.write(json.dumps(list(passages)).encode() + b"\n")
    for concurrency in CONCURRENCIES:
        await _alone(process, concurrency, 0.5)  # warms up
    yield process
    process.stdin.close()
    await process.wait()


async def _alone(process: asyncio.subprocess.Process, concurrency: int, seconds: float) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{concurrency} {seconds}\n".encode())  # the batch that a concurrency would allow
    return float(await process.stdout.readline())


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def main() -> None:
    """Print the table; write it to a file too when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.0, help="between measurements, so that other work of the machine goes on")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    import uvloop

    text = report.markdown(uvloop.run(compare(chosen.seconds, chosen.rounds, chosen.pause)))
    print(text)
    if chosen.output:
        chosen.output.write_text(text)


if __name__ == "__main__":
    main()
