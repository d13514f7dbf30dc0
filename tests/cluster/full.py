"""The whole cluster: up, down, status. Every step first looks at what is there, so a second `up` heals the first."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cluster import addons, image_build, leftovers, packages, processes, static_images
from cluster.commands import ClusterError, last_lines, run
from cluster.control_plane import SERVICE_RANGE, Address, ControlPlane
from cluster.network import DEFAULT, NODE_ADDRESS, Network
from cluster.node import NODE_NAME, Node
from cluster.paths import PACKAGE, cache_dir, exclusive, state_dir
from cluster.processes import Component
from cluster.steps import say, step
from cluster.tools import binary, ensure

COMPONENTS = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy",
    "volume-provisioner",
)  # fmt: skip
CORE_BINARIES = (
    "etcd", "kube-apiserver", "kubectl", "containerd", "kubelet", "pause", "coredns", "prometheus-adapter", "prometheus",
)  # fmt: skip


_PATIENCE_SECONDS = 20
_WHAT_TO_DO = "read the whole log; `make cluster` can always be repeated, `make cluster-down cluster` begins anew"


class Cluster:
    """One cluster. Another `name` is another cluster beside it, with a namespace, addresses and directories of its own."""

    def __init__(self, name: str = DEFAULT) -> None:
        self.network = Network(name)
        suffix = "" if name == DEFAULT else f"-{name}"
        self.state, self.data = state_dir(name), cache_dir() / f"cluster-data{suffix}"
        self.store = cache_dir() / f"containerd{suffix}"
        self.kubeconfig = (current_kubeconfig() if name == DEFAULT else None) or self.state / "admin.kubeconfig"
        self.volumes = self.data / "volumes"
        self._lock = cache_dir() / f".{name}-cluster.lock"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: one JSON object per finished request, metadata only."""
        return self.state / "audit.log"

    def up(self) -> None:
        """Bring everything to Ready; what already is, stays as it is."""
        _require_root()
        with exclusive(self._lock):
            self._prepare()
            fresh = not (self.state / "etcd").exists()
            with step("network namespace"):
                self.network.ensure(SERVICE_RANGE)
            plane = self._plane()
            node = self._node(plane)
            self._start_in_parallel(
                lambda: self._start_control_plane(plane),
                lambda: self._start_containerd(node, fresh=fresh),
            )
            for component in (node.kubelet(), node.kube_proxy(), node.scheduler(), self._provisioner(plane)):
                self._ensure_running(component)
            self._install_addons(plane, node)
        say(f"the cluster is ready; to use it:  export KUBECONFIG={self.kubeconfig}")

    def down(self) -> None:
        """Leave nothing behind: no process, mount, link, namespace, rule or volume."""
        _require_root()
        with exclusive(self._lock), step("cluster down"):
            leftovers.stop_everything(self._traces())
            self.network.remove()
            shutil.rmtree(self.state, ignore_errors=True)
            shutil.rmtree(self.data, ignore_errors=True)

    def status(self) -> dict[str, str]:
        """Component name -> what it does, in words."""
        found = {name: processes.find(self.state, name, _program(name)) for name in COMPONENTS}
        states = {name: f"running, pid {process.pid}" if process else "not running" for name, process in found.items()}
        if self.network.exists():
            states["network namespace"] = self._network_state()
        if found["kube-apiserver"]:
            states |= self._pods()
        return states

    def images(self, names: Sequence[str] = ()) -> None:
        """Build the Dockerfiles of the repository and put the images where the kubelet finds them."""
        chosen = image_build.discover(names)
        for image in chosen:
            image_build.build(image)
        node = self.node()
        if not node.containerd_answers():
            say("built; the cluster does not run: run this again when it does")
            return
        for image in chosen:
            image_build.import_into(node, image)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl as the administrator."""
        command: list[str | Path] = [binary("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, stdin=stdin, timeout=timeout, env={**os.environ, "HOME": str(self.state)})

    def image(self, name: str) -> str:
        """What a manifest calls one of the repository's images in this cluster."""
        image = image_build.discover([name])[0]
        registry = os.environ.get("IMAGE_REGISTRY")
        return image_build.pushed_reference(image, registry) if current_kubeconfig() and registry else image.reference()

    def kubeconfig_for(self, user: str, groups: Iterable[str] = ()) -> Path:
        """A kubeconfig for another user of the running cluster."""
        return self._plane().kubeconfig_for(user, list(groups))

    def node(self) -> Node:
        """The running node, for whoever imports images or looks into containers."""
        return self._node(self._plane())

    def _traces(self) -> leftovers.Traces:
        cgroup_root = "" if self.network.name == DEFAULT else self.network.name
        return leftovers.Traces(self.state, self.data, self.store, f"{self.network.name}-cluster", cgroup_root)

    def _prepare(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.volumes.mkdir(parents=True, exist_ok=True)
        # Packages come over the network while Go keeps the processors busy.
        self._start_in_parallel(lambda: ensure(CORE_BINARIES), _install_packages_and_s3)

    def _start_in_parallel(self, *jobs: Callable[[], None]) -> None:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for done in [pool.submit(job) for job in jobs]:
                done.result()

    def _plane(self) -> ControlPlane:
        address = Address(host=self.network.node_address, port=6443, bind="0.0.0.0")
        return ControlPlane(self.state, address, etcd_port=2379, etcd_peer_port=2380)

    def _node(self, plane: ControlPlane) -> Node:
        return Node(plane, self.network, self.state, self.data, self.store, static_images.reference("pause"))

    def _start_control_plane(self, plane: ControlPlane) -> None:
        kubelet_client = plane.authority.issue("kubelet-client", user="kubelet-client", groups=["system:masters"])
        flags = {
            "endpoint-reconciler-type": "lease",
            "enable-aggregator-routing": "true",
            "allow-privileged": "true",
            # Otherwise `kubectl exec` and `logs` look the node's name up in DNS.
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-certificate-authority": plane.authority.cert,
            "kubelet-client-certificate": kubelet_client.cert,
            "kubelet-client-key": kubelet_client.key,
        }
        plane.admin_kubeconfig()
        signer = {
            "cluster-signing-cert-file": plane.authority.cert,
            "cluster-signing-key-file": plane.authority.key,
        }
        for component in (
            plane.etcd(),
            plane.api_server(audit="Metadata", more=flags),
            plane.controller_manager(signer),
        ):
            inside = self.network.inside(*component.command)
            self._ensure_running(replace(component, command=inside))

    def _start_containerd(self, node: Node, *, fresh: bool) -> None:
        self._ensure_running(node.containerd())
        if fresh:
            leftovers.remove_containers(node)
        static_images.import_missing(node)
        image_build.import_into(node, _s3())

    def _provisioner(self, plane: ControlPlane) -> Component:
        command = (sys.executable, "-m", "cluster.provisioner", str(plane.admin_kubeconfig()), str(self.volumes))
        source = (PACKAGE / "provisioner.py").read_text()
        log = self.state / "logs" / "volume-provisioner.log"
        environment = {"PYTHONPATH": str(PACKAGE.parent)}
        return Component("volume-provisioner", command, log, environment=environment, configuration=source)

    def _ensure_running(self, component: Component) -> None:
        found = processes.find(self.state, component.name, _program(component.name))
        if found and found.fingerprint == component.fingerprint() and _is_well(component):
            return
        with step(f"{'restart' if found else 'start'} {component.name}"):
            if found:
                processes.stop(found.pid)
            component = replace(component, hint=component.hint or _WHAT_TO_DO)
            processes.start_detached(component, self.state)
            processes.wait_ready(component, alive=lambda: processes.is_there(self.state, component.name))

    def _install_addons(self, plane: ControlPlane, node: Node) -> None:
        values = self._addon_values(plane)
        with step("apply add-ons"):
            addons.apply(self.kubectl, values)
        with step("node and add-ons ready"):
            try:
                addons.wait(self.kubectl, NODE_NAME, NODE_ADDRESS)
            except ClusterError as error:
                raise ClusterError(f"{error}\n{self._why_not_ready()}") from error

    def _addon_values(self, plane: ControlPlane) -> dict[str, str]:
        adapter = plane.authority.issue("prometheus-adapter", user="prometheus-adapter", hosts=["prometheus-adapter.monitoring.svc"])
        images = {f"{name.replace('-', '_')}_image": static_images.reference(name) for name in static_images.NAMES}
        return {
            **images,
            "s3_image": _s3().content_reference(),
            "adapter_certificate": _encoded(adapter.cert),
            "adapter_key": _encoded(adapter.key),
            "authority": _encoded(plane.authority.cert),
        }

    def _why_not_ready(self) -> str:
        dead = [name for name in COMPONENTS if processes.find(self.state, name, _program(name)) is None]
        if dead:
            return "\n".join(f"{name} died; {self._end_of_log(name)}" for name in dead)
        pods = self.kubectl("get", "pods", "-A", "-o", "wide")
        events = self.kubectl("get", "events", "-A", "--field-selector=type=Warning", "--sort-by=.lastTimestamp")
        tail = "\n".join(events.splitlines()[-10:])
        return f"{pods}\nthe last warnings:\n{tail}\nWhat to do: look into {self.state}/logs/kubelet.log"

    def _end_of_log(self, name: str) -> str:
        log = self.state / "logs" / f"{name}.log"
        return f"the end of {log}:\n{last_lines(log.read_text(errors='replace'))}\nWhat to do: {_WHAT_TO_DO}"

    def _network_state(self) -> str:
        try:
            return f"there; packets that tried to leave it: {self.network.leaked_packets()}"
        except ClusterError:
            return "broken; `up` mends it"

    def _pods(self) -> dict[str, str]:
        with suppress(ClusterError):
            listed = json.loads(self.kubectl("get", "pods", "-A", "-o", "json", "--request-timeout=5s"))["items"]
            phases = {f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}": _phase(pod) for pod in listed}
            return dict(sorted(phases.items()))
        return {"pods": "the API server does not answer"}


def current_kubeconfig() -> Path | None:
    """With CLUSTER=current, the kubeconfig of the user's own cluster."""
    if os.environ.get("CLUSTER", "local") != "current":
        return None
    if not os.environ.get("KUBECONFIG"):
        raise ClusterError("CLUSTER=current uses the cluster that KUBECONFIG points at, and it is not set")
    return Path(os.environ["KUBECONFIG"])


def _is_well(component: Component) -> bool:
    """On a loaded machine a healthy component may take its time to answer; restarting it then would do harm."""
    with suppress(ClusterError):
        processes.wait_until(component.ready, _PATIENCE_SECONDS, f"{component.name} to answer")
        return True
    return False


def _program(component: str) -> str | None:
    # Shims carry the mark of the containerd that started them.
    return "containerd" if component == "containerd" else None


def _phase(pod: dict[str, dict[str, object]]) -> str:
    return str(pod["status"].get("phase", "Unknown"))


def _s3() -> image_build.Image:
    return image_build.discover(["s3"])[0]


def _install_packages_and_s3() -> None:
    packages.install_missing()
    image_build.build(_s3())


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("a cluster needs namespaces and cgroups: run this as root, or use CLUSTER=current")
