"""Pod settings that every component shares. They change a component in place and never its identity."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from rag_operator.api.base import Items, Model
from rag_operator.api.rules import Keyed, Rule
from rag_operator.api.scalars import Between, Duration, Quantity
from rag_operator.api.v1alpha1.common import LabelMap, LabelValue, ObjectName, SecretRef, StringMap

_MAX_TERMS: Final = 8
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
ResourceMap = Annotated[dict[str, Quantity], Field(max_length=16)]

# Code that is loaded, a door that is opened, a device that was not asked for, or what the operator sets itself.
DENIED_ENV_PREFIXES: Final = ("RAG_", "LD_", "PYTHON", "KUBERNETES_", "GIT_", "BASH_FUNC_", "GLIBC_", "OPENSSL_")
DENIED_ENV_NAMES: Final = (
    "PATH",
    "HOME",
    "ENV",
    "BASH_ENV",
    "IFS",
    "GCONV_PATH",
    "NODE_OPTIONS",
    "NVIDIA_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "VLLM_API_KEY",
    "VLLM_PLUGINS",
    "VLLM_PORT",
    "VLLM_HOST_IP",
    "VLLM_SERVER_DEV_MODE",
    "VLLM_LOGGING_CONFIG_PATH",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    "VLLM_TORCH_PROFILER_DIR",
)
RESERVED_KEY_PREFIXES: Final = ("ragops.dev/", "app.kubernetes.io/")


def _env_allowed(name: str) -> bool:
    return name not in DENIED_ENV_NAMES and not name.startswith(DENIED_ENV_PREFIXES)


def _env_rule() -> Rule:
    names = ", ".join(f"'{name}'" for name in DENIED_ENV_NAMES)
    prefixes = "|".join(DENIED_ENV_PREFIXES)
    message = (
        "is refused, because it loads code, opens the server, holds a secret or belongs to the operator; allowed are names that "
        f"neither start with {', '.join(DENIED_ENV_PREFIXES)} nor are in the list in docs/api.md"
    )
    return Rule(f"!(self in [{names}]) && !self.matches('^({prefixes})')", message, _env_allowed)


def _reserved_rule(what: str) -> Rule:
    return Rule(
        "self.all(k, !k.matches('^(ragops[.]dev|app[.]kubernetes[.]io)/'))",
        f"{what} below ragops.dev/ and app.kubernetes.io/ are set by the operator: use a prefix of your own",
        lambda found: not any(key.startswith(RESERVED_KEY_PREFIXES) for key in found),
    )


class EnvVar(Model):
    """A literal environment variable."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), _env_rule()]
    """Name of the variable. Variables that load code, open a server, hold a secret or belong to the operator are refused."""
    value: Annotated[str, Field(max_length=4096)]
    """Literal value. It is readable by whoever can read pods: secrets belong in Secrets."""


class Resources(Model):
    """What a container asks for and may use at most."""

    requests: ResourceMap | None = None
    """What the scheduler reserves, such as cpu, memory or nvidia.com/gpu."""
    limits: ResourceMap | None = None
    """What may be used at most. GPUs are given here."""


class Toleration(Model):
    """Lets pods onto tainted nodes."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value)",
            "value must be unset when operator is Exists",
            lambda self: self.operator != "Exists" or self.value is None,
            path=".value",
        ),
        Rule(
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            "key must be set unless operator is Exists",
            lambda self: self.operator == "Exists" or self.key is not None,
            path=".key",
        ),
    )

    key: LabelKey | None = None
    """Key of the taint. Unset with operator Exists: all taints."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How value is compared: Equal or Exists."""
    value: LabelValue | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Unset: all effects."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None
    """How long a NoExecute taint is borne."""


class Expression(Model):
    """A condition on a label."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.operator.contains('Exist') == (!has(self.values) || self.values == [])",
            "values go with In, NotIn, Gt and Lt",
            lambda self: (self.operator in ("Exists", "DoesNotExist")) == (not self.values),
        ),
    )

    key: LabelKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How values are compared. Gt and Lt are for nodes alone."""
    values: Annotated[Items[LabelValue], Field(max_length=32)] | None = None
    """Values to compare with."""


class LabelSelector(Model):
    """Chooses objects by their labels."""

    match_labels: LabelMap | None = None
    """Labels that must be there."""
    match_expressions: Annotated[Items[Expression], Field(max_length=_MAX_TERMS)] | None = None
    """Conditions that must hold."""


class NodeTerm(Model):
    """A condition on a node."""

    match_expressions: Annotated[Items[Expression], Field(min_length=1, max_length=_MAX_TERMS)]
    """Conditions on the node's labels, all of which must hold."""


class WeightedNodeTerm(Model):
    """A preference for nodes."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """How much the preference counts."""
    preference: NodeTerm
    """The nodes that are preferred."""


class NodeSelectorTerms(Model):
    """Nodes of which any may be used."""

    node_selector_terms: Annotated[Items[NodeTerm], Field(min_length=1, max_length=_MAX_TERMS)]
    """Terms of which one must hold."""


class NodeAffinity(Model):
    """Which nodes are allowed or preferred."""

    required_during_scheduling_ignored_during_execution: NodeSelectorTerms | None = None
    """Nodes that are allowed."""
    preferred_during_scheduling_ignored_during_execution: Annotated[Items[WeightedNodeTerm], Field(max_length=_MAX_TERMS)] | None = None
    """Nodes that are preferred."""


class PodTerm(Model):
    """Near (or, for anti-affinity, away from) certain pods of the same namespace."""

    label_selector: LabelSelector
    """The pods."""
    topology_key: LabelKey
    """The node label that says what near is, such as kubernetes.io/hostname."""


class WeightedPodTerm(Model):
    """A preference for nearness."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """How much the preference counts."""
    pod_affinity_term: PodTerm
    """The nearness that is preferred."""


class PodAffinity(Model):
    """Which pods to be near to, or away from."""

    required_during_scheduling_ignored_during_execution: Annotated[Items[PodTerm], Field(max_length=_MAX_TERMS)] | None = None
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: Annotated[Items[WeightedPodTerm], Field(max_length=_MAX_TERMS)] | None = None
    """What is preferred."""


class Affinity(Model):
    """Where pods may or should run."""

    node_affinity: NodeAffinity | None = None
    """Nodes that are allowed or preferred."""
    pod_affinity: PodAffinity | None = None
    """Pods to be near to."""
    pod_anti_affinity: PodAffinity | None = None
    """Pods to be away from."""


class TopologySpread(Model):
    """Spreads the component's pods over zones, nodes and the like. The operator adds the selector."""

    max_skew: Annotated[int, Field(ge=1, le=100)] = 1
    """How uneven the spread may be."""
    topology_key: LabelKey
    """The node label to spread over, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = "ScheduleAnyway"
    """What happens when it cannot be had."""


class PodSettings(Model):
    """How the pods of a component are scheduled and run."""

    resources: Resources | None = None
    """What the main container asks for and may use. Unset: the component's defaults. Set: none of them is added, no GPU either."""
    node_selector: LabelMap | None = None
    """Labels that a node must have."""
    tolerations: Annotated[Items[Toleration], Field(max_length=16)] | None = None
    """Taints that are borne."""
    affinity: Affinity | None = None
    """Where the pods may or should run."""
    topology_spread_constraints: Annotated[Items[TopologySpread], Field(max_length=8), Keyed("topology_key")] | None = None
    """How the pods are spread. Unset: over nodes, where possible."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods, such as nvidia."""
    image_pull_secrets: Annotated[Items[SecretRef], Field(max_length=8), Keyed("name")] | None = None
    """Secrets for pulling images."""
    service_account_name: ObjectName | None = None
    """ServiceAccount to run as. Unset: one that the operator makes. What the component needs is granted to it."""
    env: Annotated[Items[EnvVar], Field(max_length=64), Keyed("name")] | None = None
    """Literal environment variables for the main container."""
    annotations: Annotated[StringMap, _reserved_rule("annotations")] | None = None
    """Annotations for the pods."""
    labels: Annotated[LabelMap, _reserved_rule("labels")] | None = None
    """Labels for the pods."""


class Autoscaling(Model):
    """Replicas that follow the length of the queue, waiting and running work together."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not be greater than maxReplicas",
            lambda self: self.min_replicas <= self.max_replicas,
            path=".minReplicas",
        ),
    )

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Never fewer replicas than this. A rollout raises it while weight moves."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Never more replicas than this."""
    target_queue_length: Annotated[int, Field(ge=1, le=100000)]
    """Waiting and running requests (texts, for an embedder) that one replica should have on average."""
    scale_down_window: Annotated[Duration, Between("0s", "1h")] = Duration("5m")
    """How long the queue must have been shorter before replicas are taken away."""
