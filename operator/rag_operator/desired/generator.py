"""A generator of ours is vLLM: its arguments are rendered here, there is no package in its image. An external one has no children."""

from __future__ import annotations

from typing import Final

from rag_operator import names
from rag_operator.api.v1alpha1.generator import Vllm
from rag_operator.desired import autoscaling
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.desired.meta import disruption_budget, service
from rag_operator.desired.models import Weights, weights
from rag_operator.desired.pods import METRICS, Container, Volume, http_probe, pod_template, scratch
from rag_operator.desired.sizing import Size
from rag_operator.desired.workloads import of_component
from rag_operator.model.revision import Component
from rag_runtime.contracts import metrics
from rag_runtime.contracts import pods as contract

KIND = names.KIND_GENERATOR
LOADING = 7200  # seconds; hundreds of gigabytes come over a network first
SHUTDOWN = 15  # seconds for vLLM to end once it is drained

# vLLM breaks off what it is answering when it gets SIGTERM. So the pod is drained before: the endpoint is given up by Kubernetes at the
# same time, and this waits until nothing runs and nothing waits, five times in a row (a node may be slow to hear of the endpoint), or
# until the time is up. An engine too busy to say is busy; only one that listens no more has nothing to wait for.
DRAIN: Final = f"""\
import re, sys, time, urllib.request
end = time.monotonic() + float(sys.argv[1])
quiet = 0
while quiet < 5 and time.monotonic() < end:
    try:
        with urllib.request.urlopen("http://127.0.0.1:{contract.GENERATOR_PORT}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        busy = sum(float(value) for value in re.findall(r"^vllm:num_requests_(?:running|waiting)\\{{[^\\n]*\\}} (\\S+)$", text, re.M))
    except Exception as error:
        if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
            break
        busy = 1
    quiet = 0 if busy else quiet + 1
    time.sleep(1)
"""


def children(
    owner: Owner, component: Component, spec: Vllm | None, *, image: str, size: Size, surroundings: Surroundings
) -> list[Manifest | None]:
    """Everything that one generator consists of."""
    if spec is None:
        return []
    return [
        service(owner, component.name, KIND, component.name, {"http": (contract.GENERATOR_PORT, METRICS)}),
        _deployment(owner, component, spec, image=image, size=size, surroundings=surroundings),
        autoscaling.autoscaler(owner, KIND, component.name, size, queue=metrics.QUEUE_GENERATION),
        disruption_budget(owner, component.name, KIND, component.name),
    ]


def arguments(spec: Vllm, model: str) -> list[str]:
    """The arguments of `vllm serve`. Extra ones come last; the API refuses those that are set here."""
    found = [
        "serve",
        model,
        f"--served-model-name={spec.model.name}",
        "--host=0.0.0.0",
        f"--port={contract.GENERATOR_PORT}",
        f"--tensor-parallel-size={spec.tensor_parallel_size}",
        f"--max-model-len={spec.max_model_len}",
        # Weights in formats that can carry code are never opened.
        "--load-format=safetensors",
    ]
    if spec.model.source.hugging_face is not None:
        found += [f"--revision={spec.model.revision}", f"--tokenizer-revision={spec.model.revision}"]
    return [*found, *spec.extra_args]


def _deployment(owner: Owner, component: Component, spec: Vllm, *, image: str, size: Size, surroundings: Surroundings) -> Manifest:
    found = weights(owner, KIND, spec.model, spec.model_cache, surroundings)
    drain = int(spec.drain_timeout.seconds)
    container = Container(
        name=KIND,
        image=spec.image or image,
        command=["vllm"],
        args=arguments(spec, found.location),
        environment={**_environment(), **found.environment},
        references=found.references,
        ports={METRICS: contract.GENERATOR_PORT},
        probes=_probes(),
        lifecycle={"preStop": {"exec": {"command": ["python3", "-c", DRAIN, str(drain)]}}},
        resources=_resources(spec),
    )
    template = pod_template(
        owner, KIND, component.name, container, spec.pod, surroundings=surroundings, volumes=_volumes(spec, found), grace=drain + SHUTDOWN
    )
    return of_component(owner, component, template, replicas=size.replicas, progress_deadline=LOADING + 600)


def _environment() -> dict[str, str]:
    return {
        # A user without an entry in /etc/passwd has no name, which compilers of kernels ask for.
        "USER": "vllm",
        "LOGNAME": "vllm",
        "HOME": "/tmp",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": f"{contract.MODEL_CACHE_DIR}/vllm",
        "XDG_CACHE_HOME": contract.MODEL_CACHE_DIR,
        "TRITON_CACHE_DIR": f"{contract.MODEL_CACHE_DIR}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{contract.MODEL_CACHE_DIR}/inductor",
    }


def _volumes(spec: Vllm, found: Weights) -> list[Volume]:
    return [*found.volumes, scratch("shared-memory", "/dev/shm", size=str.__str__(spec.shared_memory), memory=True)]


def _resources(spec: Vllm) -> Manifest:
    return {"limits": {"nvidia.com/gpu": str(spec.tensor_parallel_size)}, "requests": {"cpu": "2", "memory": "8Gi"}}


def _probes() -> Manifest:
    return {
        "startupProbe": http_probe("/health", METRICS, period=5, failures=LOADING // 5),
        "readinessProbe": http_probe("/health", METRICS, period=5, failures=2, timeout=4),
        # Its health check waits for the engine; a long prefill is not a hang.
        "livenessProbe": http_probe("/health", METRICS, period=15, failures=8, timeout=10),
    }
