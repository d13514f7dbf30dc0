"""The node's programs: containerd, kubelet, kube-proxy; and the scheduler, which needs no more than a kubeconfig."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups
from cluster.commands import run, succeeds
from cluster.control_plane import ControlPlane
from cluster.network import BRIDGE, DEFAULT, POD_RANGE, Network
from cluster.paths import write_if_changed
from cluster.processes import Component
from cluster.tools import binary

NODE_NAME = "rag-node"
DNS_ADDRESS = "10.96.0.10"
_CNI_PLUGINS = Path("/usr/lib/cni")

_CONTAINERD = """\
version = 3
root = "{root}"
state = "{state}/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = "{state}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{cni_plugins}"]
  conf_dir = "{state}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  # crun fails where cgroup versions are mixed
  options = {{BinaryName = "/usr/sbin/runc", SystemdCgroup = false}}
"""


@dataclass(frozen=True)
class Node:
    """Configuration and command lines of one node; starts nothing.

    `state` is the running cluster's directory, `data` holds what pods write, `store` keeps images between clusters.
    """

    plane: ControlPlane
    network: Network
    state: Path
    data: Path
    store: Path
    pause_image: str

    @property
    def socket(self) -> Path:
        """containerd's socket."""
        return self.state / "containerd.sock"

    def ctr(self, *arguments: str | Path) -> str:
        """Run containerd's client in the namespace the kubelet uses."""
        return run([binary("ctr"), "--address", self.socket, "--namespace", "k8s.io", *arguments])

    def containerd_answers(self) -> bool:
        """Whether containerd serves requests."""
        return self.socket.exists() and succeeds([binary("ctr"), "--address", self.socket, "version"], timeout=5)

    def containerd(self) -> Component:
        """containerd with its network configuration."""
        write_if_changed(self.state / "cni" / "10-rag.conflist", self._network_configuration())
        text = _CONTAINERD.format(root=self.store, state=self.state, pause=self.pause_image, cni_plugins=_CNI_PLUGINS)
        path = self.state / "containerd.toml"
        write_if_changed(path, text)
        program = binary("containerd")
        return self._component(
            "containerd",
            (program, "--config", path),
            configuration=text,
            # It looks its shim up beside other programs.
            ready=self.containerd_answers,
            environment={"PATH": f"{program.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def kubelet(self) -> Component:
        """The kubelet; start it only when containerd answers."""
        user = f"system:node:{NODE_NAME}"
        kubeconfig = self.plane.kubeconfig_for(user, ["system:nodes"])
        path = self.state / "kubelet.json"
        text = json.dumps(self._kubelet_configuration(), indent=1)
        write_if_changed(path, text)
        (self.data / "kubelet").mkdir(parents=True, exist_ok=True)
        command = (
            binary("kubelet"),
            f"--config={path}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={self.data / 'kubelet'}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={self.network.node_address}",
        )
        return self._component("kubelet", command, configuration=text, ready=self._kubelet_listens)

    def kube_proxy(self) -> Component:
        """kube-proxy with nftables; its limits on tracked connections would be the host's, so it sets none."""
        command = (
            binary("kube-proxy"),
            f"--kubeconfig={self.plane.kubeconfig_for('system:kube-proxy')}",
            "--proxy-mode=nftables",
            f"--hostname-override={NODE_NAME}",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
            "--metrics-bind-address=127.0.0.1:10249",
            "--healthz-bind-address=127.0.0.1:10256",
        )
        return self._component("kube-proxy", command)

    def scheduler(self) -> Component:
        """The scheduler."""
        kubeconfig = self.plane.kubeconfig_for("system:kube-scheduler")
        names = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        flags = (*(f"--{name}={kubeconfig}" for name in names), "--leader-elect=false", "--secure-port=0")
        return self._component("kube-scheduler", (binary("kube-scheduler"), *flags))

    def _component(
        self,
        name: str,
        command: tuple[str | Path, ...],
        configuration: str = "",
        environment: dict[str, str] | None = None,
        ready: Callable[[], bool] = lambda: True,
    ) -> Component:
        log = self.state / "logs" / f"{name}.log"
        return Component(name, self.network.inside(*command), log, ready, environment or {}, configuration=configuration)

    def _network_configuration(self) -> str:
        addresses = {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]]}
        bridge = {
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,  # a pod may reach itself through its own service
            "ipam": {**addresses, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": str(self.state / "addresses")},
        }
        return json.dumps({"cniVersion": "1.0.0", "name": f"{self.network.name}-cluster", "plugins": [bridge]}, indent=1)

    def _kubelet_configuration(self) -> dict[str, object]:
        serving = self.plane.authority.issue("kubelet", user="kubelet", hosts=[self.network.node_address, NODE_NAME])
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": str(self.plane.authority.cert)},
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(serving.cert),
            "tlsPrivateKeyFile": str(serving.key),
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "podLogsDir": str(self.data / "pod-logs"),
            # The machine's disk is shared: pods are not evicted and images not deleted because of what others store.
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "serializeImagePulls": False,
            "kubeAPIQPS": 50,
            "kubeAPIBurst": 100,
            "eventRecordQPS": 50,
            **self._cgroup_root(),
        }

    def _cgroup_root(self) -> dict[str, object]:
        """Two kubelets in one place would take each other's pods for orphans, so only the default one has the root."""
        return {} if self.network.name == DEFAULT else {"cgroupRoot": f"/{cgroups.ensure(self.network.name)}"}

    def _kubelet_listens(self) -> bool:
        try:
            with socket.create_connection((self.network.node_address, 10250), timeout=1):
                return True
        except OSError:
            return False
