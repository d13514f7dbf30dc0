from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from cluster.commands import CommandError
from cluster.tools import binary
from doubles.manifests import examples, intent, revision_of, spec_of, wanted_of
from integration.manifests.conftest import RESTRICTED, as_list
from rag_operator.api.v1alpha1.pipeline import MAX_NAME_LENGTH
from rag_operator.desired import permissions, revision_record, routing
from rag_operator.desired.children import children
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.model.plan import EvaluationIntent

STRICT = ("--server-side", "--validate=strict", "--field-manager=rag-operator", "-f", "-")
SURROUNDINGS = Surroundings(cluster="c-1", api_server_cidrs=("10.0.0.1/32",), dns_cidrs=("169.254.20.10/32",), pod_monitors=True)


def everything(name: str, spec: Any, mode: str = "Build", namespace: str = RESTRICTED) -> list[Manifest]:
    owner = Owner(name, namespace, "6b2f0d4e-0000-4000-8000-000000000001")
    revision = revision_of(spec, pipeline=name)
    table = routing.routing_table(owner, [routing.Answering(revision, 100)], epoch=1, salt="s")
    built = children(owner, wanted_of(revision, mode=mode), SURROUNDINGS)
    return [revision_record.manifest(owner, revision, 1), *built, routing.config_map(owner, table)]


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """The pods that workloads would make, so that admission judges them."""
    templates = [one["spec"]["template"] for one in manifests if one.get("spec", {}).get("template")]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": f"pod-{number}", "namespace": RESTRICTED},
            "spec": {"restartPolicy": "Always", **template["spec"]},
        }
        for number, template in enumerate(templates)
    ]


@pytest.mark.parametrize(("file", "name", "spec"), examples(), ids=[found[0] for found in examples()])
@pytest.mark.parametrize("mode", ["Build", "Drop"])
def test_the_api_server_accepts_every_child_and_admits_every_pod_under_restricted(
    api: ApiServer, file: str, name: str, spec: Any, mode: str
) -> None:
    found = everything(name, spec, mode)
    running = pods(found)
    assert len(running) >= 3
    answer = api.kubectl("apply", "--dry-run=server", *STRICT, stdin=as_list([*found, *running]))
    assert len(answer.splitlines()) == len(found) + len(running), file


def test_a_pod_that_is_not_restricted_would_be_refused(api: ApiServer) -> None:
    """The test above proves nothing if admission lets everything pass."""
    pod = pods(everything(*examples()[0][1:]))[0]
    pod["spec"]["securityContext"].pop("runAsNonRoot")
    with pytest.raises(CommandError, match="violates PodSecurity"):
        api.kubectl("apply", "--dry-run=server", *STRICT, stdin=as_list([pod]))


def as_user(api: ApiServer, user: str, *arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    kubeconfig = f"--kubeconfig={api.kubeconfig_for(user)}"
    command = [str(binary("kubectl")), kubeconfig, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def grant(api: ApiServer, user: str, rules: list[dict[str, Any]]) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user}, "rules": rules}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    api.kubectl("apply", "-f", "-", stdin=as_list([role, binding]))
    api.wait_allowed(user, verb="list", resource="pods")


@pytest.mark.parametrize("file", ["production.yaml", "several-sources.yaml"])
def test_the_table_of_rights_is_enough_to_make_everything_and_to_change_it(api: ApiServer, file: str) -> None:
    name, spec = next((name, spec) for found, name, spec in examples() if found == file)
    namespace = f"rights-{Path(file).stem}"
    api.kubectl("create", "namespace", namespace)
    grant(api, "operator", permissions.rendered(permissions.OPERATOR))
    manifests = everything(name, spec, namespace=namespace)
    jobs = [one for one in manifests if one["kind"] == "Job"]
    applied = [one for one in manifests if one["kind"] != "Job"]
    for _ in ("created", "applied again"):
        done = as_user(api, "operator", "apply", *STRICT, stdin=as_list(applied))
        assert done.returncode == 0, done.stderr
        assert "serverside-applied" in done.stdout
    created = as_user(api, "operator", "create", "-f", "-", stdin=as_list(jobs))
    assert created.returncode == 0, created.stderr


def test_the_operator_may_give_nobody_a_right_that_it_does_not_have(api: ApiServer) -> None:
    grant(api, "operator", permissions.rendered(permissions.OPERATOR))
    role = next(one for one in everything(*examples()[0][1:]) if one["kind"] == "Role")
    role["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})
    done = as_user(api, "operator", "apply", *STRICT, stdin=as_list([role]))
    assert done.returncode != 0
    assert "attempting to grant RBAC permissions not currently held" in done.stderr


def test_the_operator_may_not_read_a_secret(api: ApiServer) -> None:
    grant(api, "operator", permissions.rendered(permissions.OPERATOR))
    done = as_user(api, "operator", "-n", RESTRICTED, "get", "secrets", stdin="")
    assert "forbidden" in done.stderr.lower()


def test_a_record_cannot_be_changed_by_anybody(api: ApiServer) -> None:
    name, spec = examples()[0][1:]
    record = everything(name, spec)[0]
    api.kubectl("apply", *STRICT, stdin=as_list([record]))
    record["data"] = {**record["data"], "collection": "rag_other_00000000"}
    with pytest.raises(CommandError, match="immutable"):
        api.kubectl("apply", *STRICT, stdin=as_list([record]))


def test_the_api_server_accepts_the_largest_build_of_the_longest_name(api: ApiServer) -> None:
    name, spec = "p" * MAX_NAME_LENGTH, spec_of(indexer={"buildParallelism": 64})
    owner = Owner(name, RESTRICTED, "6b2f0d4e-0000-4000-8000-000000000001")
    revision = revision_of(spec, pipeline=name)
    wanted = wanted_of(revision, indexes={revision.index.name: intent(revision, "Build", attempt=100_000)})
    found = children(owner, wanted, SURROUNDINGS)
    answer = api.kubectl("apply", "--dry-run=server", *STRICT, stdin=as_list(found))
    assert len(answer.splitlines()) == len(found)


def test_the_api_server_accepts_an_evaluation_whose_questions_are_read_as_a_source_is(api: ApiServer) -> None:
    bucket = {"bucket": "company-docs", "credentialsSecretRef": {"name": "s3-read"}}
    questions = {"evaluation": {"questionSet": {"s3": {**bucket, "prefix": "q.jsonl"}}}}
    revision = revision_of(spec_of(sources=[{"name": "docs", "s3": bucket}], rollout=questions))
    wanted = wanted_of(revision, evaluation=EvaluationIntent(revision.name, revision.name, 1))
    jobs = [one for one in children(Owner("handbook", RESTRICTED, "u"), wanted, SURROUNDINGS) if one["kind"] == "Job"]
    assert "evaluation" in api.kubectl("apply", "--dry-run=server", *STRICT, stdin=as_list(jobs))
