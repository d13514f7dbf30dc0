"""Pods: what all of them have in common, and how a user's pod settings shape them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rag_operator import names
from rag_operator.api.v1alpha1.pod import PodSettings
from rag_operator.desired import security
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_runtime.contracts import pods as contract

HOSTNAME = "kubernetes.io/hostname"
METRICS = "metrics"  # name of the port that monitors look for


@dataclass(frozen=True)
class Volume:
    """A volume and where it is mounted."""

    name: str
    source: Mapping[str, Any]
    path: str
    read_only: bool = False
    sub_path: str = ""

    def declared(self) -> Manifest:
        """The entry in `volumes`."""
        return {"name": self.name, **self.source}

    def mounted(self) -> Manifest:
        """The entry in `volumeMounts`."""
        return {
            "name": self.name,
            "mountPath": self.path,
            **({"readOnly": True} if self.read_only else {}),
            **({"subPath": self.sub_path} if self.sub_path else {}),
        }


@dataclass(frozen=True)
class Container:
    """The main container; `environment` are literal values, `references` what comes from elsewhere."""

    name: str
    image: str
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    probes: Mapping[str, Any] = field(default_factory=dict)
    lifecycle: Mapping[str, Any] | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)  # when the user says nothing


def scratch(name: str, path: str, *, size: str | None = None, memory: bool = False) -> Volume:
    """An empty volume for what a read-only root file system has no place for."""
    return Volume(name, {"emptyDir": {**({"medium": "Memory"} if memory else {}), **({"sizeLimit": size} if size else {})}}, path)


def http_probe(path: str, port: str, *, period: int, failures: int, timeout: int = 2) -> Manifest:
    """An HTTP probe every `period` seconds that gives up after `failures` of them."""
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }


def own_environment(owner: Owner, surroundings: Surroundings, component: str, grace: int) -> dict[str, str]:
    """What every image of ours is told about itself; the pod's name is added by `pod_template`."""
    return {
        contract.ENV_NAMESPACE: owner.namespace,
        contract.ENV_PIPELINE: owner.name,
        contract.ENV_COMPONENT: component,
        contract.ENV_LOG_LEVEL: surroundings.log_level.upper(),
        contract.ENV_GRACE_SECONDS: str(grace),
        "HOME": "/tmp",  # libraries write there; the user has no home of its own
    }


def pod_template(
    owner: Owner,
    kind: str,
    component: str | None,
    container: Container,
    settings: PodSettings,
    *,
    surroundings: Surroundings,
    volumes: Sequence[Volume] = (),
    grace: int = 30,
    service_account: str | None = None,
    metrics_path: str = "/metrics",
    restart: str | None = None,
    extra_labels: Mapping[str, str] | None = None,
) -> Manifest:
    """The template of a workload's pods. `service_account`: one that is made for it, with its token; `None`: no token."""
    spec: Manifest = {
        "securityContext": security.pod_context(),
        "automountServiceAccountToken": service_account is not None,
        # Variables of other Services could be taken for settings: a Service called `vllm` makes VLLM_PORT.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "containers": [_container(container, settings, surroundings, volumes)],
        **_scheduling(names.selector(owner.name, kind, component), settings, _resources(container, settings)),
    }
    account = settings.service_account_name or service_account
    if account:
        spec["serviceAccountName"] = account
    if volumes:
        spec["volumes"] = _declared(volumes)
    if restart:
        spec["restartPolicy"] = restart
    labels = {**(settings.labels or {}), **(extra_labels or {}), **names.labels(owner.name, kind, component)}
    return {"metadata": {"labels": labels, "annotations": _annotations(container, settings, metrics_path)}, "spec": spec}


def _declared(volumes: Sequence[Volume]) -> list[Manifest]:
    return list({volume.name: volume.declared() for volume in volumes}.values())


def _annotations(container: Container, settings: PodSettings, metrics_path: str) -> Manifest:
    # The main container's name, so that `kubectl logs` and `exec` pick it also where others are injected.
    found = {"kubectl.kubernetes.io/default-container": container.name}
    if METRICS in container.ports:
        found |= {"prometheus.io/scrape": "true", "prometheus.io/port": str(container.ports[METRICS]), "prometheus.io/path": metrics_path}
    return {**found, **(settings.annotations or {})}


def _container(container: Container, settings: PodSettings, surroundings: Surroundings, volumes: Sequence[Volume]) -> Manifest:
    found: Manifest = {
        "name": container.name,
        "image": container.image,
        "imagePullPolicy": surroundings.image_pull_policy,
        "env": _environment(container, settings),
        "resources": _resources(container, settings),
        "securityContext": security.container_context(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **container.probes,
    }
    if container.command:
        found["command"] = list(container.command)
    if container.args:
        found["args"] = list(container.args)
    if container.ports:
        found["ports"] = [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in container.ports.items()]
    if container.lifecycle:
        found["lifecycle"] = dict(container.lifecycle)
    if volumes:
        found["volumeMounts"] = [volume.mounted() for volume in volumes]
    return found


def _environment(container: Container, settings: PodSettings) -> list[Manifest]:
    pod: Manifest = {"name": contract.ENV_POD, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}
    ours: list[Manifest] = [{"name": name, "value": value} for name, value in container.environment.items()]
    referred: list[Manifest] = [{"name": name, "valueFrom": dict(source)} for name, source in container.references.items()]
    theirs = [variable.to_wire() for variable in settings.env or ()]
    # A list keyed by name: the user's value wins where both say something, which the API's deny-list limits to harmless names.
    return list({variable["name"]: variable for variable in [pod, *ours, *referred, *theirs]}.values())


def _resources(container: Container, settings: PodSettings) -> Manifest:
    return settings.resources.to_wire() if settings.resources is not None else dict(container.resources)


def _scheduling(selector: Mapping[str, str], settings: PodSettings, resources: Mapping[str, Any]) -> Manifest:
    found: Manifest = {"topologySpreadConstraints": _spread(selector, settings)}
    wire = settings.to_wire()
    for key in ("nodeSelector", "affinity", "priorityClassName", "runtimeClassName", "imagePullSecrets"):
        if wire.get(key):
            found[key] = wire[key]
    present = wire.get("tolerations", [])
    tolerations = [*present, *_device_tolerations(resources, present)]
    if tolerations:
        found["tolerations"] = tolerations
    return found


def _spread(selector: Mapping[str, str], settings: PodSettings) -> list[Manifest]:
    over = settings.topology_spread_constraints
    wanted = [item.to_wire() for item in over] if over is not None else [_over_nodes()]
    return [{**item, "labelSelector": {"matchLabels": dict(selector)}} for item in wanted]


def _over_nodes() -> Manifest:
    return {"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "ScheduleAnyway"}


def _device_tolerations(resources: Mapping[str, Any], present: Sequence[Mapping[str, Any]]) -> list[Manifest]:
    """GPU nodes are by custom tainted with the name of their resource; who asks for one tolerates it."""
    borne = {toleration.get("key") for toleration in present}
    return [{"key": name, "operator": "Exists", "effect": "NoSchedule"} for name in devices(resources) if name not in borne]


def devices(resources: Mapping[str, Any]) -> list[str]:
    """Names of the devices that a container asks for: resources that a vendor's plugin brings."""
    return sorted(name for name in resources.get("limits", {}) if "/" in name)
