"""`python -m bench.gateway [--rate 500] [--seconds 10]`: a table of what the gateway adds, on one core of its own.

Three processes: the gateway on the first core, the stand-ins and the load on the second. "alone" is the upstreams asked one after the other
without a gateway; the overhead is the difference of the percentiles.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import uvloop

from bench.gateway import stubs
from bench.gateway.load import Connections, Figures, at_rate, conversation, question
from doubles.gateway import GatewayProcess
from rag_runtime.contracts.routing import EmbedderRoute, GeneratorRoute, IndexRoute, Retrieval, Route, RoutingTable, Sampling
from rag_runtime.embeddings import EmbeddingsClient
from rag_runtime.milvus.search import SearchClient


def _table(ports: dict[str, int]) -> RoutingTable:
    route = Route(
        revision="bench",
        weight=100,
        embedder=EmbedderRoute(
            url=f"http://127.0.0.1:{ports['embedder']}",
            model="bench",
            dimensions=stubs.DIMENSIONS,
            fingerprint=stubs.FINGERPRINT,
            query_prefix="",
        ),
        index=IndexRoute(address=f"127.0.0.1:{ports['milvus']}", collection="bench", search={"ef": 64}),
        # Long enough that the prompt fits by its bytes: counting tokens is the generator's time, not the gateway's.
        generator=GeneratorRoute(url=f"http://127.0.0.1:{ports['generator']}", model="bench", max_model_len=131_072),
        retrieval=Retrieval(top_k=stubs.PASSAGES),
        sampling=Sampling(max_tokens=64),
    )
    return RoutingTable(epoch=1, pipeline="bench", routes=(route,))


async def _alone(ports: dict[str, int], rate: float, seconds: float, *, generating: bool) -> Figures:
    """The upstreams one after the other, with the clients that the gateway uses."""
    search = SearchClient(f"127.0.0.1:{ports['milvus']}")
    vector = np.full(stubs.DIMENSIONS, 0.05, np.float32)
    generator = Connections(ports["generator"], "/v1/chat/completions")
    async with EmbeddingsClient(f"http://127.0.0.1:{ports['embedder']}", "bench", query_prefix="") as embedder:

        async def once(number: int) -> None:
            await embedder.embed_queries([f"case {number}"], timeout=10)
            await search.search("bench", vector, limit=8, metric="COSINE", parameters={"ef": 64}, timeout=10)
            if generating:
                await generator.post(b"{}")

        figures = await at_rate(once, rate, seconds)
    await search.close()
    generator.close()
    return figures


async def _through(gateway: GatewayProcess, rate: float, seconds: float, *, generating: bool) -> tuple[Figures, float]:
    """Through the gateway, and the milliseconds of CPU that it spent on a request."""
    port = int(gateway.public.rpartition(":")[2])
    connections = Connections(port, "/v1/chat/completions" if generating else "/v1/retrieve")
    offset = 0 if generating else 10_000_000

    async def once(number: int) -> None:
        if generating:
            await connections.post(conversation(number), until=b"word0")
        else:
            await connections.post(question(number + offset))

    before = _cpu_seconds(gateway.pid)
    figures = await at_rate(once, rate, seconds)
    spent = _cpu_seconds(gateway.pid) - before
    connections.close()
    return figures, 1000 * spent / (rate * (seconds + 2))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _line(name: str, figures: Figures, cpu: float | None = None, base: Figures | None = None) -> str:
    times = f"{figures.p50:8.2f} {figures.p90:8.2f} {figures.p99:8.2f}"
    over = f"{figures.p50 - base.p50:8.2f} {figures.p99 - base.p99:8.2f}" if base else " " * 17
    spent = f"{cpu:8.2f}" if cpu is not None else " " * 8
    return f"{name:48} {times} {over} {spent} {figures.late:8.2f}  {figures.failed} of {figures.requests} failed"


async def _measure(ports: dict[str, int], core: int, rate: float, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with GatewayProcess(Path(directory)) as gateway:
            os.sched_setaffinity(gateway.pid, {core})
            gateway.publish(_table(ports))
            await gateway.serving(1)
            for name, generating in (("passages", False), ("stream, to the first token", True)):
                alone = await _alone(ports, rate, seconds, generating=generating)
                print(_line(f"{name}: upstreams alone", alone))
                figures, cpu = await _through(gateway, rate, seconds, generating=generating)
                print(_line(f"{name}: through the gateway", figures, cpu, alone))
            print(f"the gateway's memory: {await gateway.metric('process_resident_memory_bytes') / 2**20:.0f} MiB")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=float, default=500)
    options.add_argument("--seconds", type=float, default=10)
    chosen = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the gateway, one for the load")
    os.sched_setaffinity(0, {cores[1]})  # the gateway and the stand-ins inherit it; the gateway is moved
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "bench.gateway.stubs"]
    upstreams = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert upstreams.stdout is not None
    print(f"{chosen.rate:.0f} requests/s for {chosen.seconds:.0f} s, load average {os.getloadavg()[0]:.1f} on {len(cores)} cores")
    print(f"{'milliseconds':48} {'p50':>8} {'p90':>8} {'p99':>8} {'+p50':>8} {'+p99':>8} {'CPU':>8} {'late':>8}")
    try:
        uvloop.run(_measure(json.loads(upstreams.stdout.readline()), cores[0], chosen.rate, chosen.seconds))
    finally:
        upstreams.communicate()


if __name__ == "__main__":
    main()
