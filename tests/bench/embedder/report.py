"""What was measured, as Markdown."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.embedder.calm import ATTEMPTS, CALM
from bench.embedder.load import Result, Vectors

CONCURRENCIES = (1, 16, 64)
BASE = "infinity-emb 0.0.78"
EXACT = "ours, Float32"


class Alone(NamedTuple):
    """Texts a second of the engine alone, and what others took meanwhile."""

    rate: float
    others: float


@dataclass
class Findings:
    """Everything of one run: measurements by server and concurrency, one a round, with the share that others took."""

    seconds: float
    rounds: int
    load_before: float
    results: dict[tuple[str, int], list[tuple[Result, float]]] = field(default_factory=dict)
    alone: dict[tuple[str, int], list[Alone]] = field(default_factory=dict)
    vectors: dict[str, Vectors] = field(default_factory=dict)
    lanes: tuple[Result, Result] | None = None

    def add(self, server: str, concurrency: int, result: Result, others: float) -> None:
        """One measurement over HTTP."""
        self.results.setdefault((server, concurrency), []).append((result, others))

    def add_alone(self, server: str, concurrency: int, alone: Alone) -> None:
        """One measurement of the engine alone."""
        self.alone.setdefault((server, concurrency), []).append(alone)


class _Row(NamedTuple):
    rate: float
    p50: float
    p99: float
    processor: float


def markdown(findings: Findings) -> str:
    """The whole report."""
    return "\n".join(["# The embedder beside infinity-emb", "", _header(findings), "", *_table(findings), "", _lanes(findings), ""])


def _header(findings: Findings) -> str:
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor, now = names[0] if names else "unknown", time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    over_http = [others for measured in findings.results.values() for _, others in measured]
    shares = over_http + [each.others for measured in findings.alone.values() for each in measured]
    client = [result.client / result.requests for measured in findings.results.values() for result, _ in measured]
    return (
        f"all-MiniLM-L6-v2 over HTTP on {os.cpu_count()} cores ({processor}), the load generator on the same cores. One text of 26 to 38 "
        f"tokens a request, base64. {now} UTC, medians of {findings.rounds} rounds of {findings.seconds:.0f} s each. The load average "
        f"before it was {findings.load_before:.1f}. Other processes took {statistics.median(shares):.1%} of the cores while something "
        f"was measured (median; at most {max(shares):.0%}); above {CALM:.0%} a measurement was repeated, and the calmest of {ATTEMPTS} "
        f"counts. The load generator itself took {1000 * statistics.median(client):.2f} ms of processor time a request (median)."
    )


def _table(findings: Findings) -> list[str]:
    lines = [
        "| server | c | requests/s | ratio | p50 ms | p99 ms | p99 ratio | of engine alone | CPU ms | CPU ratio | cosine mean / min |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, concurrency in sorted(findings.results, key=lambda key: list(findings.vectors).index(key[0])):
        ours, base = _row(findings, name, concurrency), _row(findings, BASE, concurrency)
        alone = findings.alone.get((name, concurrency))
        share = f"{ours.rate / statistics.median(each.rate for each in alone):.0%}" if alone else ""
        cosines = (findings.vectors[name] * findings.vectors[EXACT]).sum(axis=1)
        lines.append(
            f"| {name} | {concurrency} | {ours.rate:.0f} | {ours.rate / base.rate:.2f} | {ours.p50 * 1000:.1f} | {ours.p99 * 1000:.1f} "
            f"| {ours.p99 / base.p99:.2f} | {share} | {ours.processor * 1000:.2f} | {base.processor / ours.processor:.2f} "
            f"| {np.mean(cosines):.5f} / {np.min(cosines):.5f} |"
        )
    return lines


def _row(findings: Findings, name: str, concurrency: int) -> _Row:
    results: Sequence[Result] = [result for result, _ in findings.results[name, concurrency]]
    return _Row(
        statistics.median(each.rate for each in results),
        statistics.median(each.percentile(0.5) for each in results),
        statistics.median(each.percentile(0.99) for each in results),
        statistics.median(each.processor_per_request for each in results),
    )


def _lanes(findings: Findings) -> str:
    if findings.lanes is None:
        return ""
    (idle_p50, idle_p99), (busy_p50, busy_p99) = ([1000 * each.percentile(share) for share in (0.5, 0.99)] for each in findings.lanes)
    return (
        f"Queries of one client: p50 {idle_p50:.1f} ms and p99 {idle_p99:.1f} ms idle; p50 {busy_p50:.1f} ms and p99 {busy_p99:.1f} ms "
        "beside two clients that send bulk calls of 256 texts of about 150 tokens without a pause."
    )
