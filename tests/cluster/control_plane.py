"""The command lines of etcd, the API server and the controller manager, the same for both forms of the cluster."""

from __future__ import annotations

import http.client
import ssl
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.certificates import Authority, Certificate, make_signing_key
from cluster.kubeconfig import write_kubeconfig
from cluster.processes import Component
from cluster.tools import binary

SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{{level: {level}}}]
"""


@dataclass(frozen=True)
class Address:
    """Where the API server listens, and the names its certificate carries."""

    host: str
    port: int
    bind: str

    @property
    def url(self) -> str:
        """What a client puts into its kubeconfig."""
        return f"https://{self.host}:{self.port}"


class ControlPlane:
    """Files and command lines of one control plane; starts nothing."""

    def __init__(self, directory: Path, api: Address, etcd_port: int, etcd_peer_port: int) -> None:
        self.directory, self.api = directory, api
        self._etcd_port, self._etcd_peer_port = etcd_port, etcd_peer_port
        self.authority = Authority(directory / "pki", "cluster-ca")
        self.front_proxy = Authority(directory / "pki" / "front-proxy", "front-proxy-ca")
        self._tokens = make_signing_key(directory / "pki" / "service-accounts.key")
        self._admin = self.authority.issue("admin", user="admin", groups=["system:masters"])
        self.audit_log = directory / "audit.log"

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig whose client certificate says `user` and `groups`."""
        name = user.replace(":", "-").replace("/", "-")
        client = self.authority.issue(name, user=user, groups=groups)
        path = self.directory / f"{name}.kubeconfig"
        return write_kubeconfig(path, server=self.api.url, authority=self.authority.cert, client=client)

    def admin_kubeconfig(self) -> Path:
        """The kubeconfig that may do everything."""
        return self.kubeconfig_for("admin", ["system:masters"])

    def api_ready(self) -> bool:
        """Whether `/readyz` says ok (an administrator's certificate, so no anonymous access is needed)."""
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        context.load_cert_chain(self._admin.cert, self._admin.key)
        return _answers(f"{self.api.url}/readyz", context)

    def etcd(self) -> Component:
        """etcd without fsync: a test cluster that loses power is thrown away."""
        client = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._etcd_peer_port}"
        flags = {
            "name": "rag",
            "data-dir": self.directory / "etcd",
            "unsafe-no-fsync": "true",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"rag={peer}",
            "log-level": "warn",
        }
        # Ready means that the API server can read from it: the API server waits for that itself.
        return self._component("etcd", binary("etcd"), flags)

    def api_server(self, *, audit: str | None, more: Mapping[str, object] | None = None) -> Component:
        """The API server; `audit` is the level of its audit log, `more` adds or overrides flags."""
        serving = self._serving_certificate()
        flags: dict[str, object] = {
            "etcd-servers": f"http://127.0.0.1:{self._etcd_port}",
            "bind-address": self.api.bind,
            "secure-port": self.api.port,
            "advertise-address": self.api.host,
            "service-cluster-ip-range": SERVICE_RANGE,
            "client-ca-file": self.authority.cert,
            "tls-cert-file": serving.cert,
            "tls-private-key-file": serving.key,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self._tokens,
            "service-account-signing-key-file": self._tokens,
            "authorization-mode": "Node,RBAC",
            "anonymous-auth": "false",
            "profiling": "false",
            **self._aggregation_flags(),
            **(self._audit_flags(audit) if audit else {}),
            **(more or {}),
        }
        return self._component("kube-apiserver", binary("kube-apiserver"), flags, self.api_ready)

    def controller_manager(self, more: Mapping[str, object] | None = None) -> Component:
        """The controller manager; `more` adds or overrides flags."""
        kubeconfig = self.kubeconfig_for("system:kube-controller-manager")
        flags: dict[str, object] = {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "service-account-private-key-file": self._tokens,
            "root-ca-file": self.authority.cert,
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "bind-address": "127.0.0.1",
            "secure-port": "0",
            "horizontal-pod-autoscaler-sync-period": "5s",
            **(more or {}),
        }
        return self._component("kube-controller-manager", binary("kube-controller-manager"), flags)

    def _serving_certificate(self) -> Certificate:
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        hosts = [*names, self.api.host, "127.0.0.1", FIRST_SERVICE_ADDRESS]
        return self.authority.issue("apiserver", user="kube-apiserver", hosts=list(dict.fromkeys(hosts)))

    def _aggregation_flags(self) -> dict[str, object]:
        client = self.front_proxy.issue("front-proxy-client", user="front-proxy-client")
        return {
            "requestheader-client-ca-file": self.front_proxy.cert,
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-username-headers": "X-Remote-User",
            "proxy-client-cert-file": client.cert,
            "proxy-client-key-file": client.key,
        }

    def _audit_flags(self, level: str) -> dict[str, object]:
        policy = self.directory / "audit-policy.yaml"
        policy.write_text(_AUDIT_POLICY.format(level=level))
        return {"audit-policy-file": policy, "audit-log-path": self.audit_log, "audit-log-maxsize": 500}

    def _component(self, name: str, program: Path, flags: Mapping[str, object], ready: Callable[[], bool] | None = None) -> Component:
        command = (str(program), *(f"--{flag}={value}" for flag, value in flags.items()))
        log = self.directory / "logs" / f"{name}.log"
        return Component(name, command, log, ready) if ready else Component(name, command, log)


def _answers(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=context, timeout=2) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except (OSError, http.client.HTTPException):
        return False
