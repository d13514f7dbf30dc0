"""Who computes: the embedder, local or external, and the generator, vLLM or external."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from rag_operator.api.base import Items, Model
from rag_operator.api.marks import CONTENT, EMBEDDER, GENERATOR, IN_PLACE, REVISION
from rag_operator.api.rules import Rule, at_most_one_of, one_of
from rag_operator.api.scalars import Between, Duration, Quantity
from rag_operator.api.v1alpha1.common import (
    ClaimLocation,
    ConfigMapKeyRef,
    Dimensions,
    HttpUrl,
    Image,
    ObjectName,
    RelativePath,
    Replicas,
    SecretKeyRef,
    SecretRef,
)
from rag_operator.api.v1alpha1.pod import Autoscaling, PodSettings
from rag_operator.api.v1alpha1.vllm_arguments import EXTRA_ARGUMENT

MOVING_REVISIONS: Final = ("main", "master", "head", "HEAD", "latest", "dev", "trunk")
ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")]
Prompt = Annotated[str, Field(max_length=4096)]
Revision = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"),
    Rule(
        f"!(self in {list(MOVING_REVISIONS)})",
        "must be pinned: a commit or a version, not a branch that moves",
        lambda text: text not in MOVING_REVISIONS,
    ),
]


class HubSource(Model):
    """A model hub with the API of Hugging Face."""

    endpoint: HttpUrl | None = None
    """Address of the hub or of a mirror. Unset: the public one."""
    token_secret_ref: Annotated[SecretKeyRef, IN_PLACE] | None = None
    """Token for models that need one."""


class ImageSource(Model):
    """An OCI image that carries the weights; it is mounted read-only."""

    reference: Image
    """The image, with tag or digest."""
    path: RelativePath = ""
    """Directory inside the image."""


class ModelSource(Model):
    """Where the weights come from. Only safetensors are loaded."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("hugging_face", "image", "pvc"),)

    hugging_face: HubSource | None = None
    """Downloaded from a model hub."""
    image: ImageSource | None = None
    """Mounted from an OCI image."""
    pvc: ClaimLocation | None = None
    """Mounted from a persistent volume."""


class ModelRef(Model):
    """A model, pinned."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.source.huggingFace) || self.revision.matches('^[0-9a-f]{40}$')",
            "revision must be a full commit of 40 hexadecimal digits when the model comes from a hub",
            lambda self: self.source.hugging_face is None or _is_commit(self.revision),
            path=".revision",
        ),
    )

    name: ModelName
    """Name of the model, such as sentence-transformers/all-MiniLM-L6-v2."""
    revision: Revision
    """Pinned version: the commit, for a hub; for an image or a volume, a version that changes whenever the weights do."""
    source: ModelSource
    """Where the weights come from."""


def _is_commit(text: str) -> bool:
    return len(text) == 40 and set(text) <= set("0123456789abcdef")


class EmbeddingModelRef(ModelRef):
    """The embedding model."""

    name: Annotated[ModelName, CONTENT, EMBEDDER]
    """Name of the model, such as sentence-transformers/all-MiniLM-L6-v2."""
    revision: Annotated[Revision, CONTENT, EMBEDDER]
    """Pinned version: the commit, for a hub; for an image or a volume, a version that changes whenever the weights do."""
    source: Annotated[ModelSource, EMBEDDER]
    """Where the weights come from."""


class Batching(Model):
    """How texts are put into batches."""

    max_wait: Annotated[Duration, Between("0ms", "1s")] = Duration("5ms")
    """How long a query may wait for others to share its batch."""
    max_batch_tokens: Annotated[int, Field(ge=128, le=1_048_576)] = 16384
    """Largest batch: rows times the longest text."""
    max_queue: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """How many texts may wait. Beyond it callers are told to come back."""
    max_bulk_batch: Annotated[Duration, Between("1ms", "10s")] = Duration("50ms")
    """Longest that a batch of bulk texts may compute, for queries wait behind it."""


class ModelCache(Model):
    """A volume for downloaded weights that outlives the pods, made by the operator."""

    size: Quantity
    """How large the volume is. It may grow."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume. Unset: the default one."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteMany"
    """ReadWriteOnce binds all replicas to one node."""


_REPLICAS_OR_AUTOSCALING: Final = at_most_one_of(
    "replicas", "autoscaling", message="replicas and autoscaling exclude each other: set replicas for a fixed number, autoscaling otherwise"
)


class LocalEmbedder(Model):
    """An embedder that the operator runs."""

    RULES: ClassVar[tuple[Rule, ...]] = (_REPLICAS_OR_AUTOSCALING,)

    model: EmbeddingModelRef
    """The embedding model."""
    dimensions: Annotated[Dimensions, CONTENT, EMBEDDER]
    """Length of the vectors. Fewer than the model's own: they are truncated and normalised."""
    precision: Annotated[Literal["Auto", "Float32", "Int8"], EMBEDDER] = "Auto"
    """Auto computes in 16 bits where the hardware does; Int8 is faster and less exact. The index is kept."""
    query_prefix: Annotated[Prompt, REVISION] | None = None
    """Put before a question. Unset: the model's own prompt; empty: none."""
    document_prefix: Annotated[Prompt, CONTENT] | None = None
    """Put before a chunk. Unset: the model's own prompt; empty: none."""
    batching: Annotated[Batching, IN_PLACE] = Field(default_factory=Batching)
    """How texts are put into batches."""
    replicas: Annotated[Replicas, IN_PLACE] | None = None
    """Fixed number of replicas. Unset, without autoscaling: 1."""
    autoscaling: Annotated[Autoscaling, IN_PLACE] | None = None
    """Replicas that follow the queue. Excludes replicas."""
    model_cache: Annotated[ModelCache, IN_PLACE] | None = None
    """Keeps downloaded weights. Unset: each pod downloads its own."""
    pod: Annotated[PodSettings, IN_PLACE] = Field(default_factory=PodSettings)
    """How the pods run."""

    @property
    def declared(self) -> tuple[str, str]:
        """Name and revision of the model."""
        return self.model.name, self.model.revision


class ExternalEmbedder(Model):
    """An OpenAI-compatible embeddings endpoint. Probe vectors notice when its weights change."""

    url: Annotated[HttpUrl, EMBEDDER]
    """Address of the API, such as https://host/v1; /embeddings is added."""
    model: Annotated[ModelName, CONTENT, EMBEDDER]
    """Name of the model in requests."""
    dimensions: Annotated[Dimensions, CONTENT, EMBEDDER]
    """Length of the vectors."""
    revision: Annotated[Revision, CONTENT, EMBEDDER]
    """A version of your own: change it when the endpoint changes the weights behind the name."""
    max_input_tokens: Annotated[int, Field(ge=16, le=1_048_576), IN_PLACE] = 512
    """The longest text that the endpoint takes, in tokens."""
    query_prefix: Annotated[Prompt, REVISION] | None = None
    """Put before a question. Unset or empty: nothing."""
    document_prefix: Annotated[Prompt, CONTENT] | None = None
    """Put before a chunk. Unset or empty: nothing."""
    credentials_secret_ref: Annotated[SecretRef, IN_PLACE] | None = None
    """Secret with the key apiKey."""

    @property
    def declared(self) -> tuple[str, str]:
        """Name and revision of the model."""
        return self.model, self.revision


class Embedder(Model):
    """Who turns text into vectors."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("local", "external"),)

    local: LocalEmbedder | None = None
    """An embedder that the operator runs."""
    external: ExternalEmbedder | None = None
    """An endpoint that somebody else runs."""

    @property
    def chosen(self) -> LocalEmbedder | ExternalEmbedder:
        """The member that is set."""
        found = self.local or self.external
        if found is None:
            raise ValueError("an embedder is local or external")
        return found


_GPU_RESOURCES: Final = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi")


def _gpus_fit(vllm: Vllm) -> bool:
    limits = vllm.pod.resources.limits if vllm.pod.resources is not None else None
    return all(limits[name] == str(vllm.tensor_parallel_size) for name in _GPU_RESOURCES if limits and name in limits)


class Vllm(Model):
    """A generator that the operator runs with vLLM."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        _REPLICAS_OR_AUTOSCALING,
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
    """Longest answer."""


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
