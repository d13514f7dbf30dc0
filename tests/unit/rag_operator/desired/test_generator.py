from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from doubles.manifests import HUB, built, container_of, environment_of, revision_of, spec_of, vllm, wanted_of
from rag_operator.desired import generator
from rag_operator.desired.context import Manifest
from rag_runtime.contracts import pods as contract


def deployment(**settings: Any) -> Manifest:
    revision = revision_of(spec_of(generator=vllm(**settings)))
    assert revision.generator is not None
    return built(wanted_of(revision))["Deployment", revision.generator.name]


def test_arguments_are_rendered_and_extra_ones_come_last() -> None:
    container = container_of(deployment(tensorParallelSize=2, maxModelLen=2048, extraArgs=["--max-num-seqs=4", "--enforce-eager"]))
    assert container["command"] == ["vllm"]
    assert container["args"] == [
        "serve",
        "/models",
        "--served-model-name=tiny",
        "--host=0.0.0.0",
        "--port=8000",
        "--tensor-parallel-size=2",
        "--max-model-len=2048",
        "--load-format=safetensors",
        "--max-num-seqs=4",
        "--enforce-eager",
    ]


def test_a_model_from_a_hub_is_pinned_with_its_tokenizer() -> None:
    args = container_of(deployment(model={**HUB, "source": {"image": None, "huggingFace": {}}}))["args"]
    assert args[1] == HUB["name"]
    assert f"--revision={HUB['revision']}" in args
    assert f"--tokenizer-revision={HUB['revision']}" in args


def test_the_image_of_the_spec_wins_over_the_default() -> None:
    assert container_of(deployment())["image"] == "vllm/vllm-openai:v0.11.0"
    assert container_of(deployment(image="registry.example/vllm-cpu:1"))["image"] == "registry.example/vllm-cpu:1"


def test_without_resources_it_asks_for_as_many_gpus_as_it_splits_the_model_over() -> None:
    container = container_of(deployment(tensorParallelSize=4))
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "4"}


def test_a_gpu_that_is_asked_for_by_default_is_tolerated_too() -> None:
    spec = deployment()["spec"]["template"]["spec"]
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_resources_of_the_user_may_name_another_vendor_or_no_gpu_at_all() -> None:
    assert container_of(deployment(pod={"resources": {"limits": {"amd.com/gpu": "1"}}}))["resources"] == {"limits": {"amd.com/gpu": "1"}}
    assert container_of(deployment(pod={"resources": {"requests": {"cpu": "1"}}}))["resources"] == {"requests": {"cpu": "1"}}


def test_shared_memory_is_as_large_as_asked() -> None:
    volumes = {one["name"]: one for one in deployment(sharedMemory="8Gi")["spec"]["template"]["spec"]["volumes"]}
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    mounts = {one["name"]: one["mountPath"] for one in container_of(deployment())["volumeMounts"]}
    assert mounts["shared-memory"] == "/dev/shm"


def test_everything_that_vllm_writes_goes_to_a_volume() -> None:
    manifest = deployment()
    mounts = [one["mountPath"] for one in container_of(manifest)["volumeMounts"] if not one.get("readOnly")]
    environment = environment_of(manifest)
    for name in ("HOME", "VLLM_CACHE_ROOT", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "HF_HOME"):
        assert any(environment[name].startswith(path) for path in mounts), name


def test_a_start_of_two_hours_is_waited_for_and_not_killed() -> None:
    probe = container_of(deployment())["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 7200


def test_the_pod_may_drain_as_long_as_the_spec_says() -> None:
    manifest = deployment(drainTimeout="10m")
    assert manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 600
    assert container_of(manifest)["lifecycle"]["preStop"]["exec"]["command"][-1] == "600"


@contextmanager
def metrics(busy: list[int | None]) -> Iterator[int]:
    """A server with vLLM's metrics: each answer shows the next number of running requests, the last one again and again. None fails."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running = busy.pop(0) if len(busy) > 1 else busy[0]
            if running is None:
                return  # hangs up without an answer
            text = f'# HELP vllm:num_requests_running x\nvllm:num_requests_running{{engine="0",model_name="t"}} {running}.0\n'
            text += 'vllm:num_requests_waiting{engine="0",model_name="t"} 0.0\n'
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def drain(port: int, seconds: float) -> float:
    script = generator.DRAIN.replace(f":{contract.GENERATOR_PORT}/", f":{port}/").replace("time.sleep(1)", "time.sleep(0.02)")
    assert script != generator.DRAIN
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", script, str(seconds)], check=True, timeout=30)
    return time.monotonic() - began


def test_a_pod_that_goes_waits_until_nothing_runs() -> None:
    busy: list[int | None] = [2, 2, 1, 0, 0, 0, 0]
    with metrics(busy) as port:
        drain(port, 20)
    assert len(busy) == 1, "it left while requests were running"


def test_an_engine_that_cannot_say_how_busy_it_is_is_waited_for() -> None:
    busy: list[int | None] = [1, *[None] * 10, 1, 0]
    with metrics(busy) as port:
        drain(port, 20)
    assert len(busy) == 1, "it left when the engine did not answer"


def test_a_pod_that_goes_does_not_wait_longer_than_it_may() -> None:
    with metrics([1]) as port:
        assert drain(port, 0.5) >= 0.5


def test_a_pod_whose_engine_is_gone_already_does_not_wait() -> None:
    assert drain(1, 20) < 10


def test_a_pipeline_without_generator_has_none() -> None:
    assert revision_of().generator is None
    assert not any("generator" in name for _, name in built(wanted_of(revision_of())))


@pytest.mark.parametrize("external", [{"url": "https://models.example.com/v1", "model": "m"}])
def test_an_external_generator_has_no_children(external: dict[str, Any]) -> None:
    revision = revision_of(spec_of(generator={"external": external}))
    assert revision.generator is not None
    assert revision.generator.name not in {name for _, name in built(wanted_of(revision))}
