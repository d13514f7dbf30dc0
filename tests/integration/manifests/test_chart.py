from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.api_only import ApiServer
from cluster.tools import binary
from integration.manifests.conftest import RESTRICTED, as_list
from rag_operator import generate
from rag_operator.settings import Settings

CHART = Path(__file__).parents[3] / "charts" / "rag-operator"
VARIANTS = {
    "the whole cluster": "",
    "two namespaces": "watch: {namespaces: [team-a, team-b]}",
    "everything optional": """
metrics: {podMonitor: {enabled: true, labels: {release: prometheus}}}
prometheusAdapter: {rules: {create: true}}
network: {apiServerCIDRs: [10.0.0.1/32], scraperNamespaces: [monitoring], dnsCIDRs: [169.254.20.10/32]}
image: {pullSecrets: [{name: registry}]}
priorityClassName: serving
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
podAnnotations: {a.b/c: d}
podLabels: {team: platform}
settings: {workers: 4, look_again: 120, leader_election: true}
serviceAccount: {annotations: {a.b/c: d}}
""",
    "as little as possible": """
replicaCount: 1
crds: {install: false}
rbac: {aggregate: false}
network: {policy: false}
metrics: {service: false}
uninstall: {releaseFinalizers: false}
""",
}


def helm(*arguments: str, values: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(binary("helm")), *arguments, str(CHART), *(["--values", "-"] if values else [])]
    return subprocess.run(command, input=values, capture_output=True, text=True, timeout=120, check=False)


@cache
def rendered_text(values: str) -> str:
    done = helm("template", "rag", "--namespace", RESTRICTED, values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: str = "") -> list[dict[str, Any]]:
    return [one for one in yaml.load_all(rendered_text(values), Loader=yaml.CSafeLoader) if one]


def only(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    found = [one for one in manifests if one["kind"] == kind]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_lint_finds_nothing(values: str) -> None:
    done = helm("lint", "--strict", values=values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_everything_that_is_rendered_is_accepted_and_the_operator_s_pod_is_restricted(api: ApiServer, values: str) -> None:
    manifests = [one for one in rendered(values) if one["kind"] != "CustomResourceDefinition"]
    needed = {one["metadata"]["namespace"] for one in manifests if one["metadata"].get("namespace")} - {RESTRICTED}
    for namespace in needed:
        api.kubectl("apply", "-f", "-", stdin=as_list([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}]))
    pods = [pod(one, number) for number, one in enumerate(manifests) if one["kind"] in ("Deployment", "Job")]
    stdin = as_list([*manifests, *pods])
    answer = api.kubectl("apply", "--dry-run=server", "--server-side", "--validate=strict", "-f", "-", stdin=stdin)
    assert len(answer.splitlines()) == len(manifests) + len(pods)


def pod(manifest: dict[str, Any], number: int) -> dict[str, Any]:
    template = manifest["spec"]["template"]
    place = {**template["metadata"], "name": f"chart-{number}", "namespace": RESTRICTED}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": place, "spec": {"restartPolicy": "Always", **template["spec"]}}


def test_the_chart_s_definitions_are_those_of_the_checkout_and_are_kept() -> None:
    for one in rendered():
        if one["kind"] == "CustomResourceDefinition":
            assert one["metadata"]["annotations"].pop("helm.sh/resource-policy") == "keep"
            plain = yaml.safe_load((CHART.parents[1] / "crds" / f"ragops.dev_{one['spec']['names']['plural']}.yaml").read_text())
            one["metadata"].pop("annotations")
            plain["metadata"].pop("annotations", None)
            assert one == plain


def test_generated_rights_are_up_to_date() -> None:
    assert (CHART / "templates/_rules.tpl").read_text() == generate.rules_template()
    assert (CHART.parents[1] / "docs/permissions.md").read_text() == generate.permissions_page()


def test_two_replicas_never_leave_together() -> None:
    manifests = rendered()
    assert only(manifests, "Deployment")["spec"]["replicas"] == 2
    assert only(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_in_some_namespaces_only_the_operator_gets_no_right_in_others() -> None:
    manifests = rendered("watch: {namespaces: [team-a, team-b]}")
    roles = {one["metadata"]["namespace"] for one in manifests if one["kind"] == "Role"}
    assert roles == {"team-a", "team-b", "default", RESTRICTED}
    bound = {one["roleRef"]["name"] for one in manifests if one["kind"] == "ClusterRoleBinding"}
    assert bound == {f"{RESTRICTED}-rag-discovery"}


def test_editors_and_viewers_are_aggregated_to_the_usual_roles() -> None:
    roles = {one["metadata"]["name"]: one["metadata"]["labels"] for one in rendered() if one["kind"] == "ClusterRole"}
    assert roles[f"{RESTRICTED}-rag-editor"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert roles[f"{RESTRICTED}-rag-viewer"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"


def test_the_lease_that_may_be_renewed_is_the_one_that_is_used() -> None:
    manifests = rendered()
    environment = {
        one["name"]: one.get("value") for one in only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    leader = next(one for one in manifests if one["metadata"]["name"] == "rag-leader" and one["kind"] == "Role")
    assert [rule["resourceNames"] for rule in leader["rules"] if "resourceNames" in rule] == [[environment["RAG_OPERATOR_LEASE_NAME"]]] * 2


def test_the_operator_understands_every_setting_of_the_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    container = only(rendered(VARIANTS["everything optional"]), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    known = {f"RAG_OPERATOR_{name.upper()}" for name in Settings.model_fields}
    for entry in container["env"]:
        assert entry["name"] in known
        monkeypatch.setenv(entry["name"], entry.get("value", "x"))
    settings = Settings()
    assert settings.workers == 4
    assert settings.scraper_namespaces == ("monitoring",)
    assert settings.api_server_cidrs == ("10.0.0.1/32",)
    assert settings.image_embedder == "ragops.dev/embedder:{version}"
    assert settings.image_embedder_gpu == "ragops.dev/embedder-gpu:{version}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("replicaCount: 0", "replicaCount"),
        ("replicas: 2", "replicas"),
        ("watch: {namespaces: [Team_A]}", "namespaces"),
        ("dataPlane: {images: {embedder: 'ragops.dev/embedder:latest'}}", "embedder"),
        ("dataPlane: {images: {embedding: 'a:1'}}", "embedding"),
        ("logLevel: loud", "logLevel"),
        ("image: {tag: latest}", "tag"),
        ("network: {apiServerCIDRs: [10.0.0.1]}", "apiServerCIDRs"),
        ("image: {pullPolicy: Sometimes}", "pullPolicy"),
        ("serviceAccount: {create: false}", "serviceAccount.name"),
    ],
)
def test_a_wrong_value_is_refused_and_named(values: str, said: str) -> None:
    done = helm("template", "rag", values=values)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_hook_that_releases_pipelines_reaches_the_api_server_where_everything_is_denied_by_default() -> None:
    found = rendered()
    (selector,) = [one["spec"]["podSelector"] for one in found if one["kind"] == "NetworkPolicy"]
    for pod in (only(found, "Deployment"), only(found, "Job")):
        labels = pod["spec"]["template"]["metadata"]["labels"]
        wanted = [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
        wanted += [(one["key"], one["values"]) for one in selector.get("matchExpressions", ())]
        assert all(labels[key] in values for key, values in wanted), pod["metadata"]["name"]


def test_an_api_server_on_a_port_of_its_own_can_be_reached() -> None:
    policy = only(rendered("network: {apiServerPorts: [16443]}"), "NetworkPolicy")
    assert [{"port": 16443, "protocol": "TCP"}] in [rule["ports"] for rule in policy["spec"]["egress"]]
