"""Who writes the answer: vLLM that the operator runs, or an endpoint."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from rag_operator.api.base import Items, Model
from rag_operator.api.marks import GENERATOR, IN_PLACE, REVISION
from rag_operator.api.rules import Rule, one_of
from rag_operator.api.scalars import Between, Duration, Quantity
from rag_operator.api.v1alpha1.common import (
    ConfigMapKeyRef,
    HttpUrl,
    Image,
    Replicas,
    SecretRef,
)
from rag_operator.api.v1alpha1.models import REPLICAS_OR_AUTOSCALING, ModelCache, ModelName, ModelRef, Prompt
from rag_operator.api.v1alpha1.pod import Autoscaling, PodSettings
from rag_operator.api.v1alpha1.vllm_arguments import EXTRA_ARGUMENT

_GPU_RESOURCES: Final = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi")


def _gpus_fit(vllm: Vllm) -> bool:
    limits = vllm.pod.resources.limits if vllm.pod.resources is not None else None
    return all(limits[name] == str(vllm.tensor_parallel_size) for name in _GPU_RESOURCES if limits and name in limits)


class Vllm(Model):
    """A generator that the operator runs with vLLM."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        REPLICAS_OR_AUTOSCALING,
        Rule(
            "!has(self.pod.resources) || !has(self.pod.resources.limits) || "
            f"{list(_GPU_RESOURCES)}.all(r, !(r in self.pod.resources.limits) || "
            "string(self.pod.resources.limits[r]) == string(self.tensorParallelSize))",
            "tensorParallelSize must equal the number of GPUs in pod.resources.limits",
            _gpus_fit,
            path=".tensorParallelSize",
        ),
    )

    model: Annotated[ModelRef, GENERATOR]
    """The language model. It is served under its name."""
    image: Annotated[Image, GENERATOR] | None = None
    """The image of vLLM, with tag or digest. Unset: the one that belongs to runtime.version."""
    tensor_parallel_size: Annotated[int, Field(ge=1, le=64), GENERATOR] = 1
    """Over how many GPUs the model is split."""
    max_model_len: Annotated[int, Field(ge=256, le=10_000_000), GENERATOR] = 8192
    """Longest prompt and answer together, in tokens."""
    extra_args: Annotated[Items[EXTRA_ARGUMENT], Field(max_length=64), GENERATOR] = ()
    """Further arguments of `vllm serve`, each as --name or --name=value. Only those that tune the engine are accepted."""
    shared_memory: Annotated[Quantity, IN_PLACE] = Quantity("2Gi")
    """Size of /dev/shm, which processes of one replica share. It counts as memory of the pod."""
    drain_timeout: Annotated[Duration, Between("1s", "1h"), IN_PLACE] = Duration("5m")
    """How long a replica that is taken away may finish its answers."""
    replicas: Annotated[Replicas, IN_PLACE] | None = None
    """Fixed number of replicas. Unset, without autoscaling: 1."""
    autoscaling: Annotated[Autoscaling, IN_PLACE] | None = None
    """Replicas that follow the queue. Excludes replicas."""
    model_cache: Annotated[ModelCache, IN_PLACE] | None = None
    """Keeps downloaded weights. Unset: each pod downloads its own."""
    pod: Annotated[PodSettings, IN_PLACE] = Field(default_factory=PodSettings)
    """How the pods run."""


class ExternalGenerator(Model):
    """An OpenAI-compatible chat endpoint."""

    url: Annotated[HttpUrl, GENERATOR]
    """Address of the API, such as https://host/v1; /chat/completions is added."""
    model: Annotated[ModelName, GENERATOR]
    """Name of the model in requests."""
    max_model_len: Annotated[int, Field(ge=256, le=10_000_000), GENERATOR] = 8192
    """Longest prompt and answer together, in tokens."""
    credentials_secret_ref: Annotated[SecretRef, IN_PLACE] | None = None
    """Secret with the key apiKey."""


class PromptSettings(Model):
    """What the generator is told."""

    system: Annotated[Prompt, REVISION] = ""
    """System prompt. Empty: a short one that asks for citations."""
    template_config_map_ref: Annotated[ConfigMapKeyRef, REVISION] | None = None
    """Template by which a passage is shown to the generator, see the gateway's documentation. Its text is part of the revision."""


class Sampling(Model):
    """How the answer is drawn."""

    temperature: Annotated[float, Field(ge=0, le=2), REVISION] = 0
    """0 is the most likely answer."""
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000), REVISION] = 512
    """Longest answer, in tokens. A quarter of maxModelLen stays for the prompt, whatever is set."""


class Generator(Model):
    """Who writes the answer."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        one_of("vllm", "external"),
        Rule(
            "[has(self.vllm) ? self.vllm.maxModelLen : 10000000, has(self.external) ? self.external.maxModelLen : 10000000]"
            ".all(n, self.sampling.maxTokens < n)",
            "sampling.maxTokens must be less than maxModelLen: the prompt needs room too",
            lambda self: self.sampling.max_tokens < _model_length(self),
            path=".sampling",
        ),
    )

    vllm: Vllm | None = None
    """A generator that the operator runs with vLLM."""
    external: ExternalGenerator | None = None
    """An endpoint that somebody else runs."""
    prompt: PromptSettings = Field(default_factory=PromptSettings)
    """What the generator is told."""
    sampling: Sampling = Field(default_factory=Sampling)
    """How the answer is drawn."""

    @property
    def chosen(self) -> Vllm | ExternalGenerator:
        """The member that is set."""
        found = self.vllm or self.external
        if found is None:
            raise ValueError("a generator is vllm or external")
        return found


def _model_length(generator: Generator) -> int:
    lengths = [member.max_model_len for member in (generator.vllm, generator.external) if member is not None]
    return min(lengths, default=10_000_000)
