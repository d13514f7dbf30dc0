"""What a pipeline has once: its store, gateway and autoscalers, as the mirror shows them. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from rag_operator import names
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.controller import pods
from rag_operator.controller.components import troubles_of
from rag_operator.controller.mounts import words
from rag_operator.controller.pods import Trouble
from rag_operator.kube.child import Child, Children
from rag_operator.kube.resources import AUTOSCALERS, CLAIMS, DEPLOYMENTS, INGRESSES, MILVUS, PODS, STATEFUL_SETS
from rag_operator.status.situation import Failure, Part, PartName

_READY: Final = Part(True, "Serving")


def parts(
    pipeline: str, spec: RAGPipelineSpec, children: Children, slow: Iterable[Trouble], lacking: Collection[str] = ()
) -> dict[PartName, Part]:
    """Every part, by name. `lacking`: the Secrets that some gateway does not have mounted yet."""
    told = tuple(slow)
    gateway = _workload(children.get((DEPLOYMENTS.kind, names.gateway(pipeline))), names.KIND_GATEWAY, children, told)
    return {
        "VectorStore": _store(pipeline, spec, children, told),
        "Gateway": _waiting(gateway, lacking),
        "Indexer": _workload(children.get((DEPLOYMENTS.kind, names.indexer(pipeline))), names.KIND_INDEXER, children, told),
        "Scaling": _scaling(children),
    }


def unfinished(children: Children, slow: Iterable[Trouble]) -> tuple[Failure, ...]:
    """Workloads that are not as the spec asks, although they may answer: an update under way, pods that cannot run. Worst first."""
    told, found = tuple(slow), []
    # A pod that was evicted, and replaced since, stays to be looked at for as long as nobody clears it away.
    living = {key: child for key, child in children.items() if not (child.kind == PODS.kind and pods.ended(child))}
    for (kind, name), child in sorted(children.items()):
        if kind not in (DEPLOYMENTS.kind, STATEFUL_SETS.kind) or not child.replicas:
            continue
        whole = int(child.status().get("readyReplicas") or 0) >= child.replicas
        trouble = pods.worst(troubles_of(child.component, living if whole else children, told))
        if trouble is not None:
            found.append((trouble.rank, Failure(trouble.reason, trouble.message, lasting=True)))
        elif _is_updating(child):
            found.append(((99, name, ""), Failure("RollingUpdate", f"{name} is being updated")))
    return tuple(failure for _, failure in sorted(found, key=lambda one: one[0]))


def _is_updating(child: Child) -> bool:
    status = child.status()
    # Others raise the generation as well, an annotation is enough: what counts is whether our own last write was seen.
    unseen = int(status.get("observedGeneration") or 0) < child.applied
    return unseen or int(status.get("updatedReplicas") or 0) < (child.replicas or 0)


def endpoint(namespace: str, pipeline: str, spec: RAGPipelineSpec, children: Children) -> str:
    """Where questions are asked."""
    ingress = spec.gateway.ingress
    if ingress is not None and (INGRESSES.kind, names.gateway(pipeline)) in children:
        scheme = "https" if ingress.tls_secret_name else "http"
        return f"{scheme}://{ingress.host}{ingress.path.rstrip('/')}"
    port = "" if spec.gateway.service.port == 80 else f":{spec.gateway.service.port}"
    return f"http://{names.gateway(pipeline)}.{namespace}.svc{port}"


def _store(pipeline: str, spec: RAGPipelineSpec, children: Children, slow: tuple[Trouble, ...]) -> Part:
    milvus = spec.vector_store.milvus
    name = names.milvus(pipeline)
    if milvus.external is not None:
        return Part(True, "External", "the store is not run by this operator; indexers tell whether it answers")
    if milvus.standalone is not None:
        part = _workload(children.get((STATEFUL_SETS.kind, name)), names.KIND_MILVUS, children, slow)
        claim = children.get((CLAIMS.kind, name))
        if not part.ready and claim is not None and claim.status().get("phase") == "Lost":
            return Part(False, "ClaimLost", f"the volume of claim {name} is gone")
        return part
    found = children.get((MILVUS.kind, name))
    phase = str(found.status().get("status") or "Pending") if found is not None else "Missing"
    return _READY if phase == "Healthy" else Part(False, phase, f"Milvus {name} is {phase}")


def _workload(child: Child | None, component: str, children: Children, slow: tuple[Trouble, ...]) -> Part:
    if child is None:
        return Part(False, "Missing", f"the {component} is not made yet")
    if int(child.status().get("readyReplicas") or 0) > 0:
        return _READY
    trouble = pods.worst(troubles_of(component, children, slow))
    if trouble is not None:
        return Part(False, trouble.reason, trouble.message)
    return Part(False, "Starting", f"no pod of {child.name} is ready")


def _waiting(gateway: Part, lacking: Collection[str]) -> Part:
    return Part(True, "SecretNotMounted", f"answers go on as before: {words(lacking)}") if gateway.ready and lacking else gateway


def _scaling(children: Children) -> Part:
    scalers = [child for child in children.values() if child.kind == AUTOSCALERS.kind]
    if not scalers:
        return Part(True, "NotConfigured", "replicas are fixed")
    broken = sorted(_broken(scalers))
    if broken:
        return Part(False, *broken[0])
    looked = all(child.status().get("conditions") for child in scalers)
    return Part(True, "Scaling") if looked else Part(None, "NotObserved", "the autoscalers have not looked yet")


def _broken(scalers: Iterable[Child]) -> Iterator[tuple[str, str]]:
    for child in scalers:
        for condition in child.status().get("conditions") or ():
            refused = condition["type"] in ("ScalingActive", "AbleToScale") and condition["status"] == "False"
            # Scaling of what has no replicas is disabled: that is meant.
            if refused and condition["reason"] != "ScalingDisabled":
                yield condition["reason"], f"{child.name}: {_steady(condition.get('message', ''))}"


def _steady(message: str) -> str:
    """The message without what changes at every look."""
    return message.split(": unable to fetch metrics", 1)[0][:300]
