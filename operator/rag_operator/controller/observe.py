"""One look at everything a pass decides by: the pipeline (read exactly), what it refers to, its children (from the mirror)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from rag_operator import errors, names
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.controller import pods
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.pods import Trouble
from rag_operator.controller.scrape import GatewayReading, Scraper
from rag_operator.controller.scrape import read as read_gateways
from rag_operator.kube.child import Child, Children, reduce
from rag_operator.kube.client import Client, Object
from rag_operator.kube.resources import CLAIMS, CONFIG_MAPS, DEPLOYMENTS, EVENTS, INDEXES, MILVUS, PIPELINES, POD_MONITORS, PODS, Resource
from rag_operator.model import codec
from rag_operator.model.plan import Record
from rag_operator.model.validated import References, Violation, needed, parse
from rag_operator.settings import RUNTIMES


@dataclass(frozen=True)
class Capabilities:
    """What the cluster offers beside the built-in kinds."""

    pod_monitors: bool = False
    milvus_operator: bool = False


@dataclass(frozen=True)
class Seen:
    """One pipeline at the beginning of a pass."""

    key: Key
    body: Object = field(repr=False)
    spec: RAGPipelineSpec | None
    violations: tuple[Violation, ...]
    status: RAGPipelineStatus
    record: Record
    children: Children = field(repr=False)
    references: References = field(default_factory=References, repr=False)
    gateways: GatewayReading | None = None  # None: nobody had to ask
    slow: tuple[Trouble, ...] = ()

    @property
    def uid(self) -> str:
        """UID of the pipeline."""
        return str(self.body["metadata"]["uid"])

    @property
    def generation(self) -> int:
        """Generation of the spec."""
        return int(self.body["metadata"]["generation"])

    @property
    def verbs(self) -> dict[str, str]:
        """Verbs that people set."""
        annotations = self.body["metadata"].get("annotations") or {}
        return {name: annotations[name] for name in names.VERBS if name in annotations}

    @property
    def deleting(self) -> bool:
        """Whether the pipeline is being deleted."""
        return "deletionTimestamp" in self.body["metadata"]


class Observer:
    """Reads for passes."""

    def __init__(self, client: Client, mirror: Mirror, scrape: Scraper) -> None:
        self._client, self._mirror, self._scrape = client, mirror, scrape

    async def look(self, key: Key, capabilities: Capabilities) -> Seen | None:
        """The pipeline and all that belongs to it, or `None` when it does not exist."""
        body = await self._client.get(PIPELINES, key.namespace, key.name)
        if body is None:
            return None
        parsed = parse(body.get("spec") or {})
        spec, violations = (None, tuple(parsed)) if isinstance(parsed, list) else (parsed, ())
        status, record = _remembered(body)
        children = own(self._mirror.children(key), body["metadata"]["uid"])
        gateways = await self._gateways(key) if _epochs_matter(status, record, children) else None
        return Seen(
            key=key,
            body=body,
            spec=spec,
            violations=violations,
            status=status,
            record=record,
            children=children,
            references=await self._references(key, spec, children, capabilities) if spec is not None else References(),
            gateways=gateways,
            slow=tuple(await self._slow(key, children)),
        )

    def again(self, seen: Seen) -> Seen:
        """The same look with the children as they are known now, our own writes included."""
        return replace(seen, children=own(self._mirror.children(seen.key), seen.uid))

    async def capabilities(self) -> Capabilities:
        """What the cluster offers now."""
        monitors, milvus = await asyncio.gather(self._serves(POD_MONITORS), self._serves(MILVUS))
        return Capabilities(monitors, milvus)

    async def _serves(self, resource: Resource) -> bool:
        try:
            found = await self._client.read(f"/apis/{resource.api_version}")
        except errors.NotFound:
            return False
        return any(one.get("name") == resource.plural for one in found.get("resources") or ())

    async def _references(self, key: Key, spec: RAGPipelineSpec, children: Children, capabilities: Capabilities) -> References:
        wanted = needed(spec)
        maps = sorted(wanted.config_maps)
        claims = sorted(wanted.claims)
        found = await asyncio.gather(
            *(self._client.get(CONFIG_MAPS, key.namespace, name) for name in maps),
            *(self._client.get(CLAIMS, key.namespace, name) for name in claims),
        )
        data = {name: dict(body.get("data") or {}) for name, body in zip(maps, found, strict=False) if body is not None}
        bound = frozenset(name for name, body in zip(claims, found[len(maps) :], strict=True) if body is not None)
        return References(
            config_maps=data,
            claims=bound,
            token_limit=token_limit(spec, children),
            milvus_operator=capabilities.milvus_operator,
            runtimes=frozenset(RUNTIMES),
        )

    async def _gateways(self, key: Key) -> GatewayReading | None:
        """Every pod that may answer as the pipeline's gateway, terminating ones too; `None` when the list could not be read."""
        labels = ",".join(f"{label}={value}" for label, value in names.selector(key.name, names.KIND_GATEWAY).items())
        try:
            listed = await self._client.list(PODS, key.namespace, labels=labels)
        except errors.ApiError:
            return None
        gateways = (reduce(PODS, body) for body in listed if not _is_the_node(body))
        # One that never started is as good as one that is not made yet: whatever it reads, it reads later.
        may_answer = (pod for pod in gateways if not (pods.ended(pod) or pods.never_started(pod)))
        return await read_gateways(may_answer, self._scrape)

    async def _slow(self, key: Key, children: Children) -> Iterable[Trouble]:
        """What Events say of pods that the kubelet cannot start, and of Jobs that may not make any: it shows nowhere else."""
        waited_for = [child for child in children.values() if pods.is_waited_for(child)]
        answers = await asyncio.gather(*(self._warnings(key, child) for child in waited_for[:10]))
        return [trouble for answer in answers for trouble in answer]

    async def _warnings(self, key: Key, child: Child) -> list[Trouble]:
        fields = f"involvedObject.uid={child.uid},type=Warning"
        try:
            events = await self._client.list(EVENTS, key.namespace, fields=fields)
        except errors.ApiError:
            return []
        return [Trouble(event.get("reason", ""), pods.steady(event.get("message", "")), child.name) for event in events[-3:]]


def own(children: Children, uid: str) -> dict[tuple[str, str], Child]:
    """Children of this very pipeline: controlled by it, or by a workload of it, or by nobody after a restore."""
    return {name: child for name, child in children.items() if child.owner in (uid, None) or child.kind == PODS.kind}


def token_limit(spec: RAGPipelineSpec, children: Children) -> int | None:
    """What indexers were told of the wanted model's limit, by any index that it makes; an endpoint's is in the spec, not observed."""
    local = spec.embedder.local
    if local is None:
        return None
    indexes = [child.body() for child in children.values() if child.kind == INDEXES.kind]
    # Reports that differ are of weights that were changed under their name: what one of them takes is not refused.
    return max((limit for body in indexes if (limit := _limit(body)) and _model(body) == local.declared), default=None)


def _limit(index: Mapping[str, Any]) -> int | None:
    return ((index.get("status") or {}).get("observed") or {}).get("modelTokenLimit")


def _model(index: Mapping[str, Any]) -> tuple[str, str]:
    content = index["spec"]["identity"]["content"]
    return content["model"], content["revision"]


def _remembered(body: Mapping[str, Any]) -> tuple[RAGPipelineStatus, Record]:
    """What status says; what cannot be read counts as lost, which the planner is careful about."""
    try:
        status = RAGPipelineStatus.model_validate(body.get("status") or {})
    except ValidationError:
        return RAGPipelineStatus(), Record()
    try:
        return status, codec.loads(status.record)
    except ValueError:
        return status, Record()


def _epochs_matter(status: RAGPipelineStatus, record: Record, children: Children) -> bool:
    """Whether anything waits for gateways: a rollout, something to take away, however far that is."""
    if record.rollout is not None or record.leaving or record.retired is not None:
        return True
    stable = status.stable
    if stable is None:
        return False
    needed = {stable.embedder, stable.index, stable.generator}
    return any(child.component not in needed for child in children.values() if _is_component(child))


def _is_component(child: Child) -> bool:
    serves = child.labels.get(names.LABEL_KIND) in (names.KIND_EMBEDDER, names.KIND_GENERATOR)
    return child.kind == INDEXES.kind or (child.kind == DEPLOYMENTS.kind and serves)


def _is_the_node(pod: Mapping[str, Any]) -> bool:
    """Whether its address is the node's: no gateway of ours is, but who may make such pods could label one and have the node called."""
    return bool((pod.get("spec") or {}).get("hostNetwork"))
