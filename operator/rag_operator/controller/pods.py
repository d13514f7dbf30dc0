"""What the scheduler, the kubelet and the workload controllers say about pods and Jobs, in their own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rag_operator.kube.child import Child, Children
from rag_operator.kube.resources import JOBS, PODS

# Waiting reasons of a container that is merely starting.
_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
# Worse first: what a person must act on goes before what follows from it.
_ORDER: Final = (
    "OOMKilled",
    "CreateContainerConfigError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "FailedMount",
    "CrashLoopBackOff",
    "Unschedulable",
    "FailedCreate",
)
_PULL_AGAIN: Final = "ErrImagePull"
_MAX_MESSAGE: Final = 400
_RANDOM_NAME: Final = re.compile(r'(pods "[a-z0-9.-]+)-[a-z0-9]{5}"')


@dataclass(frozen=True)
class Trouble:
    """Why something is not ready."""

    reason: str
    message: str
    pod: str = ""  # or the Job that has none

    @property
    def rank(self) -> tuple[int, str, str]:
        """Order of importance, the same on every pass."""
        place = _ORDER.index(self.reason) if self.reason in _ORDER else len(_ORDER)
        return place, self.reason, self.message


def worst(troubles: Iterable[Trouble]) -> Trouble | None:
    """The one to tell first."""
    return min(troubles, key=lambda trouble: trouble.rank, default=None)


def of_pod(pod: Child) -> Iterator[Trouble]:
    """What keeps a pod from being ready; nothing when it is merely starting."""
    status = pod.status()
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Trouble(condition.get("reason", "Unschedulable"), _cut(condition.get("message", "")), pod.name)
    if status.get("reason") and status.get("phase") == "Failed":
        yield Trouble(status["reason"], _cut(status.get("message", "")), pod.name)
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        yield from _of_container(pod.name, container)


def of_workload(workload: Child) -> Iterator[Trouble]:
    """What a Deployment or StatefulSet says by itself: pods that it may not even create."""
    for condition in workload.status().get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Trouble(condition.get("reason", "FailedCreate"), steady(condition.get("message", "")))


def is_starting(pod: Child) -> bool:
    """Whether the kubelet is still preparing a pod that was scheduled: then only Events tell why it takes long."""
    containers = pod.status().get("containerStatuses") or ()
    waiting = [(container.get("state") or {}).get("waiting", {}).get("reason") for container in containers]
    return "ContainerCreating" in waiting or "PodInitializing" in waiting


def has_no_pod(job: Child) -> bool:
    """Whether a Job that is not over has no pod, maybe because it may not make one: that, too, only Events tell."""
    return not job.status().get("active") and not job_ended(job)


def is_waited_for(child: Child) -> bool:
    """Whether Events may tell more of something than its status does: of a pod that starts, of a Job without one."""
    if child.deleting or child.kind not in (PODS.kind, JOBS.kind):
        return False
    return is_starting(child) if child.kind == PODS.kind else has_no_pod(child)


def ready(pod: Child) -> bool:
    """Whether the pod takes requests."""
    conditions = pod.status().get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def never_started(pod: Child) -> bool:
    """Whether nothing of the pod has run yet, so that no Service ever sent it a request: the scheduler or the kubelet still has it."""
    return pod.status().get("phase") == "Pending"


def ended(pod: Child) -> bool:
    """Whether the pod is over, one way or the other."""
    return pod.status().get("phase") in ("Succeeded", "Failed")


def job_ended(job: Child) -> bool:
    """Whether a Job is over, one way or the other; one that nobody took up yet is not."""
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in job.status().get("conditions") or ())


def job_ended_at(job: Child) -> float | None:
    """When a Job was over, in seconds since the epoch; `None` before."""
    for condition in job.status().get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return datetime.fromisoformat(condition["lastTransitionTime"]).timestamp()
    return None


def job_failed(name: str, children: Children) -> str | None:
    """Why the Job ended without success, or `None`."""
    job = children.get((JOBS.kind, name))
    for condition in job.status().get("conditions") or () if job else ():
        if condition["type"] == "Failed" and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason") or "failed")
    return None


def _of_container(pod: str, container: Mapping[str, Any]) -> Iterator[Trouble]:
    state, last = container.get("state") or {}, container.get("lastState") or {}
    killed = last.get("terminated") or {}
    if killed.get("reason") == "OOMKilled" and not container.get("ready"):
        message = f"container {container['name']} needed more memory than its limit and was killed, {_times(container)}"
        yield Trouble("OOMKilled", message, pod)
    waiting = state.get("waiting") or {}
    if waiting.get("reason", "") not in _STARTING:
        yield Trouble(_stable_reason(waiting["reason"]), _waiting_message(container, waiting, killed), pod)
    ended = state.get("terminated") or {}
    if ended.get("exitCode"):
        text = f"container {container['name']} ended with exit code {ended['exitCode']}: {ended.get('message', '').strip()}"
        yield Trouble(ended.get("reason", "Error"), _cut(text), pod)


def _stable_reason(reason: str) -> str:
    # The kubelet alternates between trying and waiting; a status that follows would be written every few seconds.
    return "ImagePullBackOff" if reason == _PULL_AGAIN else reason


def _waiting_message(container: Mapping[str, Any], waiting: Mapping[str, Any], killed: Mapping[str, Any]) -> str:
    name = container["name"]
    if waiting["reason"] in ("ImagePullBackOff", _PULL_AGAIN):
        return f"container {name}: image {container.get('image', '')} cannot be pulled"
    if waiting["reason"] == "CrashLoopBackOff":
        said = (killed.get("message") or "").strip()
        return _cut(f"container {name} ends with exit code {killed.get('exitCode', '?')}{': ' + said if said else ''}")
    return _cut(f"container {name}: {waiting.get('message', waiting['reason'])}")


def _times(container: Mapping[str, Any]) -> str:
    # Not the count itself: it would make the status change at every restart.
    return "again and again" if container.get("restartCount", 0) > 1 else "once"


def steady(message: str) -> str:
    """What was said of a pod that could not be made, without the random end of its name, which is another one at every try."""
    return _cut(_RANDOM_NAME.sub(r'\1"', message))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"
