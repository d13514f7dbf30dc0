"""The parts that serve and fill: the gateway, which answers, and the indexer, which reads sources."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rag_operator.api.base import Items, Model
from rag_operator.api.marks import IN_PLACE, REVISION
from rag_operator.api.rules import Rule
from rag_operator.api.v1alpha1.common import ObjectName, Replicas, SecretRef, StringMap
from rag_operator.api.v1alpha1.pod import LabelSelector, PodSettings


def _is_cidr(text: str) -> bool:
    try:
        ip_network(text, strict=True)
    except ValueError:
        return False
    return "/" in text


class QueryFrom(Model):
    """What of a conversation is searched for."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.mode == 'LastTurns' || !has(self.turns)",
            "turns is for mode LastTurns",
            lambda self: self.mode == "LastTurns" or self.turns is None,
            path=".turns",
        ),
    )

    mode: Annotated[Literal["LastMessage", "LastTurns"], REVISION] = "LastMessage"
    """LastMessage searches for the user's last message; LastTurns for the last few together, for follow-up questions."""
    turns: Annotated[int, Field(ge=2, le=10), REVISION] | None = None
    """How many of the user's turns LastTurns takes. Unset: 3."""


class Retrieval(Model):
    """How passages are found."""

    top_k: Annotated[int, Field(ge=1, le=100), REVISION] = 8
    """How many passages are found for a question."""
    query: QueryFrom = Field(default_factory=QueryFrom)
    """What of a conversation is searched for."""


class Auth(Model):
    """Who may ask."""

    api_keys_secret_ref: SecretRef
    """Secret whose keys are client names and whose values are their API keys. It is read again when it changes."""


class GatewayService(Model):
    """The Service before the gateway."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""
    port: Annotated[int, Field(ge=1, le=65535)] = 80
    """Port of the Service."""
    annotations: StringMap | None = None
    """Annotations for the Service, such as a load balancer's settings."""


class Ingress(Model):
    """An Ingress before the gateway."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    """Name under which the gateway is reached."""
    class_name: ObjectName | None = None
    """IngressClass. Unset: the default one."""
    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^\x00-\x20\x7f]*$")] = "/"
    """Path prefix."""
    tls_secret_name: ObjectName | None = None
    """Secret with the certificate. Unset: no TLS."""
    annotations: StringMap | None = None
    """Annotations for the Ingress, such as time-outs for streams."""


class Client(Model):
    """Who may connect to the gateway."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.cidr) != (has(self.namespaceSelector) || has(self.podSelector))",
            "set either cidr, or namespaceSelector and podSelector",
            lambda self: (self.cidr is not None) != (self.namespace_selector is not None or self.pod_selector is not None),
        ),
    )

    namespace_selector: LabelSelector | None = None
    """Namespaces of the clients. Unset: the pipeline's own."""
    pod_selector: LabelSelector | None = None
    """Pods of the clients. Unset: all."""
    cidr: (
        Annotated[
            str,
            Field(min_length=4, max_length=49),
            Rule("isCIDR(self)", "must be an address range such as 10.0.0.0/8", _is_cidr),
        ]
        | None
    ) = None
    """Addresses of the clients."""


class Gateway(Model):
    """What answers questions."""

    replicas: Annotated[Replicas, IN_PLACE] = 2
    """Number of replicas."""
    auth: Annotated[Auth, IN_PLACE] | None = None
    """Who may ask. Unset: whoever can connect."""
    service: Annotated[GatewayService, IN_PLACE] = Field(default_factory=GatewayService)
    """The Service before the gateway."""
    ingress: Annotated[Ingress, IN_PLACE] | None = None
    """An Ingress before the gateway."""
    clients: Annotated[Items[Client], Field(min_length=1, max_length=32), IN_PLACE] | None = None
    """Who may connect, as a NetworkPolicy. Unset: anybody."""
    pod: Annotated[PodSettings, IN_PLACE] = Field(default_factory=PodSettings)
    """How the pods run."""


class Indexer(Model):
    """What reads sources and fills indexes."""

    build_parallelism: Annotated[int, Field(ge=1, le=64), IN_PLACE] = 1
    """How many pods fill a new index at the same time."""
    pod: Annotated[PodSettings, IN_PLACE] = Field(default_factory=PodSettings)
    """How the pods run, those of builds too."""
