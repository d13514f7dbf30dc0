"""What any Kubernetes does with pods, done by ours."""

from __future__ import annotations

from contextlib import suppress
from urllib.request import urlopen

import pytest

from cluster.commands import ClusterError
from cluster.network import NODE_ADDRESS
from cluster.processes import wait_until
from e2e.cluster_manifests import IMAGE, container, deployment, pod, service
from e2e.namespaces import Namespace

PUT = """
from urllib.request import Request, urlopen
headers = dict([("x-amz-acl", "public-read"), ("Content-Type", "text/plain")])
urlopen(Request("{}", {}, headers, method="PUT"))
"""
ALLOCATE = "block = bytearray(200 * 1024 * 1024); print(len(block))"


def test_pods_of_a_deployment_answer_through_their_service_by_dns_name(restricted: Namespace) -> None:
    restricted.apply(deployment("web", 2), service("web"), pod("client"))
    restricted.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    restricted.wait("pod/client", "condition=Ready")
    ask = f"import urllib.request as u; print(u.urlopen('http://web.{restricted.name}.svc.cluster.local').read().decode())"
    names = set(restricted.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}").split())
    answered: set[str] = set()

    def all_answered() -> bool:
        with suppress(ClusterError):  # the node's proxy learns a moment later than the API server which pods are ready
            answered.add(restricted.run_python("client", ask).strip())
        return answered >= names

    wait_until(all_answered, 60, f"every one of {names} to answer")
    assert answered == names


def test_exec_and_logs_work_from_the_host(restricted: Namespace) -> None:
    restricted.apply(pod("talker", "print('said at start', flush=True); import signal; signal.pause()"))
    restricted.wait("pod/talker", "condition=Ready")
    assert "4711" in restricted.kubectl("exec", "talker", "--", "python", "-c", "import os; print(os.getuid())")
    wait_until(lambda: "said at start" in restricted.kubectl("logs", "talker"), 60, "the pod's output")


def test_a_pod_over_its_memory_limit_is_killed(namespace: Namespace) -> None:
    namespace.apply(pod("greedy", ALLOCATE, resources={"limits": {"memory": "64Mi"}}))
    namespace.wait("pod/greedy", "jsonpath={.status.phase}=Failed")
    ended = namespace.get("pod", "greedy")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_a_pod_that_violates_restricted_is_refused(restricted: Namespace) -> None:
    violating = pod("privileged")
    violating["spec"]["containers"] = [container("pass", securityContext={"privileged": True})]
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        restricted.apply(violating)
    assert not restricted.exists("pod", "privileged")


def test_an_image_volume_mounts_read_only(restricted: Namespace) -> None:
    volume = {"name": "image", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}
    mounts = [{"name": "image", "mountPath": "/mounted", "subPath": "opt"}]
    restricted.apply(pod("reader", volumes=[volume], volumeMounts=mounts))
    restricted.wait("pod/reader", "condition=Ready")
    assert restricted.run_python("reader", "import os; print(os.listdir('/mounted'))").strip() == "['venv']"
    with pytest.raises(ClusterError, match="Read-only file system"):
        restricted.run_python("reader", "open('/mounted/new', 'w')")


@pytest.mark.own_cluster
def test_s3_answers_in_the_cluster_and_from_the_host(namespace: Namespace) -> None:
    namespace.apply(pod("client"))
    namespace.wait("pod/client", "condition=Ready")
    url = f"http://s3.storage.svc:9000/{namespace.name}"
    namespace.run_python("client", PUT.format(url, None))
    namespace.run_python("client", PUT.format(f"{url}/key", b"written in a pod"))
    with urlopen(f"http://{NODE_ADDRESS}:30900/{namespace.name}/key") as answer:
        assert answer.read() == b"written in a pod"
