"""The fast form of the cluster: what tests of the operator stand on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cluster import processes
from cluster.api_only import API, ETCD, ApiServer
from cluster.commands import CommandError
from cluster.paths import PACKAGE
from cluster.processes import wait_until


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    with ApiServer(controllers=True) as server:
        yield server


def test_users_may_do_what_their_roles_say_and_no_more(api: ApiServer) -> None:
    alice = f"--kubeconfig={api.kubeconfig_for('alice', ['editors'])}"
    api.kubectl("create", "configmap", "readable")
    api.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps")
    api.kubectl("create", "rolebinding", "reader", "--role=reader", "--group=editors")

    def reads() -> bool:
        try:
            return "readable" in api.kubectl(alice, "get", "configmaps")
        except CommandError:
            return False  # the authorizer learns of the binding a moment later

    wait_until(reads, 60, "the role to count")
    with pytest.raises(CommandError, match=r'User "alice" cannot list resource "secrets"'):
        api.kubectl(alice, "get", "secrets")


def test_controllers_run(api: ApiServer) -> None:
    api.kubectl("create", "deployment", "web", "--image=none", "--replicas=2")
    wait_until(lambda: api.kubectl("get", "pods", "-o", "name").count("pod/web-") == 2, 60, "two pods")


def test_every_request_is_in_the_audit_log(api: ApiServer) -> None:
    api.kubectl("create", "configmap", "audited")

    def logged() -> bool:
        return any(
            event["verb"] == "create" and event["objectRef"]["name"] == "audited" and event["user"]["username"] == "admin"
            for event in api.audit_events()
            if event.get("objectRef", {}).get("resource") == "configmaps" and "name" in event["objectRef"]
        )

    wait_until(logged, 60, "the request to be logged")


def test_a_paused_server_answers_nobody_and_goes_on_when_resumed(api: ApiServer) -> None:
    api.pause(API)
    try:
        with pytest.raises(CommandError):
            api.kubectl("get", "namespaces", "--request-timeout=500ms")
    finally:
        api.resume(API)
    assert "default" in api.kubectl("get", "namespaces")


@pytest.mark.parametrize("component", [ETCD, API])
def test_what_was_written_survives_a_kill(api: ApiServer, component: str) -> None:
    api.kubectl("create", "configmap", f"kept-{component}")
    api.restart(component)
    assert api.kubectl("get", "configmap", f"kept-{component}")


def test_two_run_side_by_side_and_leave_nothing() -> None:
    with ApiServer() as first, ApiServer() as second:
        first.kubectl("create", "namespace", "only-here")
        assert "only-here" not in second.kubectl("get", "namespaces")
        directories = [first.directory, second.directory]
    assert [directory.exists() for directory in directories] == [False, False]
    assert [process for directory in directories for process in processes.running(directory)] == []


def test_its_processes_die_with_a_test_run_that_is_killed() -> None:
    code = "from cluster.api_only import *; api = ApiServer().__enter__(); print(api.pid(ETCD), api.pid(API)); input()"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        pids = [int(word) for word in run.stdout.readline().split()]
        assert len(pids) == 2
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(processes.alive(pid) for pid in pids), 60, "its processes to die")
