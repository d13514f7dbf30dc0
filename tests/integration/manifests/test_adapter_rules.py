"""The chart's rule for `queue_length`, asked of a real Prometheus: what autoscalers read, and when there is nothing for them to read.

An autoscaler that gets no value keeps its replicas and says so; one that gets a wrong value acts on it.
"""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from cluster.addons import ADAPTER_RULES
from cluster.ports import free_port
from cluster.processes import wait_until
from cluster.tools import binary

QUERY = yaml.safe_load(ADAPTER_RULES.read_text())["externalRules"][0]["metricsQuery"]
# What each pod exports; a pod is what one Prometheus target is.
PODS = {
    "sound": ["3", "4"],
    "broken": ["3", "NaN"],
    "silent": [],
}


class Exporter(BaseHTTPRequestHandler):
    """Two pods of every component: `/<component>/<number>`. One that is silent answers with an error."""

    def do_GET(self) -> None:
        _, component, number = self.path.split("/")
        values = PODS[component]
        self.send_response(200 if values else 500)
        self.end_headers()
        if values:
            self.wfile.write(f'queue_length{{queue="embedding"}} {values[int(number)]}\n'.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def exporter() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, exporter: int) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {
            "job_name": f"{component}-{number}",
            "metrics_path": f"/{component}/{number}",
            "fallback_scrape_protocol": "PrometheusText0.0.4",
            "static_configs": [{"targets": [f"127.0.0.1:{exporter}"], "labels": {"namespace": "search", "component": component}}],
        }
        for component in PODS
        for number in (0, 1)
    ]
    configuration = directory / "prometheus.yml"
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    yield from serving(directory, configuration)


def serving(directory: Path, configuration: Path) -> Iterator[str]:
    """Prometheus' address, once it has looked at every target."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(binary("prometheus")), f"--config.file={configuration}", f"--storage.tsdb.path={directory}/data"]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            wait_until(lambda: len(answer(address, "up")) == 2 * len(PODS), 60, "every target to be looked at")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def answer(address: str, query: str) -> list[str]:
    """The values of an instant query; none while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/query?query={urllib.parse.quote(query)}", timeout=5) as found:
            result = json.loads(found.read())["data"]["result"]
    except OSError:
        return []
    return [one["value"][1] for one in result]


@pytest.mark.parametrize(
    ("component", "expected"),
    [("sound", ["7"]), ("broken", []), ("silent", []), ("unknown", [])],
    ids=[
        "the queues of all pods are added up",
        "a pod that exports NaN leaves nothing to act on",
        "pods that cannot be scraped leave nothing to act on",
        "a component that nobody exports leaves nothing to act on",
    ],
)
def test_an_autoscaler_gets_the_sum_of_all_queues_or_nothing(prometheus: str, component: str, expected: list[str]) -> None:
    query = QUERY.replace("<<.LabelMatchers>>", f'namespace="search",component="{component}"')

    def as_it_should_be() -> bool:
        found = answer(prometheus, query)
        # On a busy machine a pod may answer too late: then it is one that cannot be scraped, until it is asked again a second later.
        assert found in (expected, [])
        return found == expected

    wait_until(as_it_should_be, 60, f"{expected}")
