"""The fast form: etcd, an API server and, when asked, a controller manager on loopback. Ready in about three seconds.

    with ApiServer(controllers=True) as api:
        api.kubectl("get", "namespaces")
        Client(kubeconfig=api.kubeconfig_for("alice", ["editors"]))
        api.pause("kube-apiserver"); api.resume("kube-apiserver"); api.kill("etcd"); api.start("etcd")

Every instance has its own ports and its own directory; any number can run side by side. Its processes die with the
thread that started them, so start it from the main one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster import processes
from cluster.commands import CommandError, run
from cluster.control_plane import Address, ControlPlane
from cluster.ports import free_ports
from cluster.processes import Component, stop, wait_ready, wait_until
from cluster.tools import binary

ETCD, API, CONTROLLERS = "etcd", "kube-apiserver", "kube-controller-manager"


class ApiServer:
    """A context manager around one control plane. `controllers` may name some, as `--controllers` does.

    Without controllers nobody makes the default service accounts, so their admission is off and pods can be created.
    """

    def __init__(
        self,
        *,
        controllers: bool | Sequence[str] = False,
        audit: str | None = "Metadata",
        flags: dict[str, object] | None = None,
    ) -> None:
        self._controllers = controllers
        self._audit, self._flags = audit, flags or {}
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._components: dict[str, Component] = {}

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="rag-api-"))
        port, *more = free_ports(3)
        address = Address(host="127.0.0.1", port=port, bind="127.0.0.1")
        self._plane = ControlPlane(self.directory, address, *more)
        self._components = {component.name: component for component in self._describe()}
        try:
            for name in self._components:
                self.start(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything and remove the directory; safe to call twice."""
        for name in reversed(list(self._started)):
            self.kill(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._plane.api.url

    @property
    def authority(self) -> Path:
        """The certificate authority (PEM) a client verifies the server with."""
        return self._plane.authority.cert

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._plane.admin_kubeconfig()

    @property
    def audit_log(self) -> Path:
        """One JSON object per line and finished request."""
        return self._plane.audit_log

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for another user; RBAC decides what it may do."""
        return self._plane.kubeconfig_for(user, groups)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator and return its standard output."""
        home = {**os.environ, "HOME": str(self.directory)}  # its discovery cache belongs to this server
        return run([binary("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments], stdin=stdin, env=home)

    def wait_listed(self, kinds: str, timeout: float = 30) -> None:
        """Wait until the server lists these kinds; `kubectl wait` stumbles over a definition that has no status yet."""

        def listed() -> bool:
            try:
                self.kubectl("get", kinds, "--all-namespaces")
            except CommandError:
                return False
            return True

        wait_until(listed, timeout, f"{kinds} to be listed")

    def wait_allowed(self, user: str, timeout: float = 30, **what: str) -> None:
        """Wait until a right that was given counts: the authorizer learns of it a moment after it is stored."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": what},
        }

        def allowed() -> bool:
            answer = json.loads(self.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))
            return bool(answer["status"]["allowed"])

        wait_until(allowed, timeout, f"{user} to be allowed {what}")

    def audit_events(self) -> list[dict[str, Any]]:
        """Every finished request so far, oldest first."""
        if not self.audit_log.exists():
            return []
        lines = self.audit_log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def pid(self, name: str) -> int:
        """The process id of a component that runs."""
        return self._started[name].pid

    def start(self, name: str) -> None:
        """Start a component, or start it again after `kill`, and wait until it is ready."""
        component = self._components[name]
        process = processes.start(component, self.directory)
        self._started[name] = process
        wait_ready(component, alive=lambda: process.poll() is None)

    def pause(self, name: str) -> None:
        """Freeze a component: connections stay open and nothing answers."""
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a frozen component go on."""
        os.kill(self.pid(name), signal.SIGCONT)

    def kill(self, name: str) -> None:
        """SIGKILL a component and wait until it is gone; its data stay."""
        process = self._started.pop(name)
        process.kill()
        process.wait()

    def restart(self, name: str) -> None:
        """Kill a component and start it again with the data it had."""
        self.kill(name)
        self.start(name)

    def terminate(self, name: str) -> None:
        """Stop a component in the orderly way."""
        process = self._started.pop(name)
        stop(process.pid)
        process.wait()

    def _describe(self) -> list[Component]:
        flags: dict[str, object] = {"endpoint-reconciler-type": "none"}
        if not self._controllers:
            flags["disable-admission-plugins"] = "ServiceAccount"
        components = [self._plane.etcd(), self._plane.api_server(audit=self._audit, more={**flags, **self._flags})]
        if self._controllers:
            chosen = "*" if self._controllers is True else ",".join(self._controllers)
            components.append(self._plane.controller_manager({"controllers": chosen}))
        return components
