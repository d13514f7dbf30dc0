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
# Requests a second as ratios to BASE, by server and concurrency; Auto's are for processors that compute in bf16.
RATES = {("ours, Auto", 1): 5.0, ("ours, Auto", 64): 3.0, (EXACT, 1): 2.0, (EXACT, 64): 2.0, ("ours, Int8", 64): 5.0}
COSINES = {"ours, Auto": (0.999, 0.999), "ours, Int8": (0.998, 0.99)}  # mean, worst
P99_RATIO = 1 / 3
OF_ENGINE = 0.85
BESIDE_BULK = 0.1  # seconds


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
    paragraphs = ["# The embedder beside infinity-emb", _header(findings), "\n".join(_table(findings)), _lanes(findings), _aims(findings)]
    return "\n\n".join(paragraphs) + "\n"


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
        share = f"{_of_engine(findings, name, concurrency):.0%}" if (name, concurrency) in findings.alone else ""
        cosines = _cosines(findings, name)
        lines.append(
            f"| {name} | {concurrency} | {ours.rate:.0f} | {ours.rate / base.rate:.2f} | {ours.p50 * 1000:.1f} | {ours.p99 * 1000:.1f} "
            f"| {ours.p99 / base.p99:.2f} | {share} | {ours.processor * 1000:.2f} | {base.processor / ours.processor:.2f} "
            f"| {np.mean(cosines):.5f} / {np.min(cosines):.5f} |"
        )
    return lines


def _of_engine(findings: Findings, name: str, concurrency: int) -> float:
    return _row(findings, name, concurrency).rate / statistics.median(each.rate for each in findings.alone[name, concurrency])


def _cosines(findings: Findings, name: str) -> Vectors:
    found: Vectors = (findings.vectors[name] * findings.vectors[EXACT]).sum(axis=1)
    return found


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


def _aims(findings: Findings) -> str:
    """How many aims were held, and which were missed."""
    ours = [key for key in findings.results if key[0] != BASE]
    rows = {key: _row(findings, *key) for key in findings.results}
    judged = {f"{_at(*key)} {aim:g} times": rows[key].rate >= aim * rows[BASE, key[1]].rate for key, aim in RATES.items()}
    judged |= {f"{_at(*key)} p99 at most a third": rows[key].p99 <= P99_RATIO * rows[BASE, key[1]].p99 for key in ours}
    judged |= {f"{_at(*key)} {OF_ENGINE:.0%} of the engine alone": _of_engine(findings, *key) >= OF_ENGINE for key in findings.alone}
    for name, (mean, worst) in COSINES.items():
        cosines = _cosines(findings, name)
        judged[f"{name}: cosine at least {mean:g} and {worst:g}"] = bool(np.mean(cosines) >= mean and np.min(cosines) >= worst)
    if findings.lanes:
        idle, busy = (each.percentile(0.99) for each in findings.lanes)
        judged["query p99 beside a bulk load at most 100 ms above idle"] = busy - idle <= BESIDE_BULK
    missed = [aim for aim, held in judged.items() if not held]
    return f"Of {len(judged)} aims {len(judged) - len(missed)} were held. Missed: {'; '.join(missed) or 'none'}."


def _at(name: str, concurrency: int) -> str:
    return f"{name}, c={concurrency}:"
