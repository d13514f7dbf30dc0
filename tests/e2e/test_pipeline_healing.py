"""A pipeline in the real cluster, with the real images: at rest, after every hand that touches it, and after every mistake in its spec."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.full import Cluster
from cluster.processes import wait_until
from e2e.namespaces import Namespace, has_service_account
from e2e.test_chart_install import CHART, NAME, Installed, chart_values, manifests
from polling import until, within

pytestmark = pytest.mark.timeout(1800)
ROOT = Path(__file__).parents[2]
AT_REST = 30.0  # seconds
QUIET = 5.0  # without a write the last change is over; what is measured begins after it
HEALED = 10.0
RECOVERED = 240.0  # so long may a Milvus take to start again, and more
WINDOWS = 3
MADE = 1.0  # by when children that wait for nothing exist
NOISE = 2.0  # what the machine may add: its two cores run the cluster and the test, too
KINDS = ",".join(
    (
        "deployments",
        "statefulsets",
        "services",
        "horizontalpodautoscalers",
        "poddisruptionbudgets",
        "networkpolicies",
        "roles",
        "rolebindings",
        "serviceaccounts",
        "ragindexes",
    )
)


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Iterator[Installed]:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    name = f"heal-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("create", "namespace", name)
    namespace = Namespace(name, cluster)
    wait_until(lambda: has_service_account(cluster, name), 120, "the default service account")
    release = Installed(namespace, chart_values(cluster, name))
    try:
        release.helm("install", name, str(CHART), "--values=-", values=release.values)
        namespace.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150)
        namespace.apply(*manifests(cluster))
        wait_until(lambda: ready(release), 300, "the pipeline to be Ready", 1)
        yield release
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")
        cluster.kubectl("delete", "clusterrole,clusterrolebinding", "-l", f"app.kubernetes.io/instance={name}", "--ignore-not-found")


def status(running: Installed) -> dict[str, Any]:
    found: dict[str, Any] = running.pipeline().get("status", {})
    return found


def ready(running: Installed) -> bool:
    body = running.pipeline()
    said = body.get("status", {})
    conditions = {one["type"]: one["status"] for one in said.get("conditions", ())}
    settled = said.get("observedGeneration") == body["metadata"]["generation"] and said.get("phase") == "Ready"
    return settled and conditions["Reconciling"] == "False"


def audited(running: Installed, words: str) -> Iterator[tuple[float, dict[str, Any]]]:
    """Time and event of every line of the API server's audit log that has these words."""
    with running.namespace.cluster.audit_log.open() as lines:
        for line in lines:
            if words in line and line.endswith("\n"):  # the last one may be half written
                event = json.loads(line)
                yield datetime.fromisoformat(event["stageTimestamp"].replace("Z", "+00:00")).timestamp(), event


def writes(running: Installed, since: float) -> Counter[str]:
    """Writes of the operator since a moment, its Lease aside, from the API server's audit log."""
    account = f"system:serviceaccount:{running.namespace.name}:{running.namespace.name}"
    found: Counter[str] = Counter()
    for when, event in audited(running, account):
        what = event.get("objectRef", {}).get("resource")
        if event["user"]["username"] == account and when > since and what != "leases" and event["verb"] not in ("get", "list", "watch"):
            found[f"{event['verb']} {what}"] += 1
    return found


def has_news(running: Installed, since: float) -> bool:
    """Whether the kubelet has told anything of a pod of the namespace since a moment: that of a probe which took too long, say."""
    told = (event.get("objectRef", {}) for when, event in audited(running, f'"namespace":"{running.namespace.name}"') if when > since)
    return any((what.get("resource"), what.get("subresource")) == ("pods", "status") for what in told)


def first_ready(running: Installed) -> float:
    """When the first of the pipeline's pods was ready."""
    conditions = [one for pod in running.pods(f"ragops.dev/pipeline={NAME}") for one in pod["status"].get("conditions", ())]
    ready_at = [one["lastTransitionTime"] for one in conditions if (one["type"], one["status"]) == ("Ready", "True")]
    return min(datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() for at in ready_at)


def made(running: Installed) -> tuple[float, dict[str, float]]:
    """When the pipeline was made and, by seconds after it, each child that has to wait for no other: from the API server's audit log."""
    born, found = 0.0, {}
    for when, event in audited(running, f'"namespace":"{running.namespace.name}"'):
        if event.get("responseStatus", {}).get("code") != 201 or event["stage"] != "ResponseComplete":
            continue
        what = event["objectRef"]
        if what["resource"] == "ragpipelines":
            born = when
        elif event["user"]["username"].endswith(f":{running.namespace.name}") and what["resource"] in KINDS.split(","):
            found[f"{what['resource']}/{what['name']}"] = when - born
    return born, found


@pytest.mark.own_cluster  # the audit log of somebody else's cluster cannot be read
def test_children_that_wait_for_nothing_exist_within_a_second_of_the_apply(running: Installed) -> None:
    born, since = made(running)
    print(f"\n{len(since)} children, the last {max(since.values()):.2f} s after the apply")
    assert {what.partition("/")[0] for what in since} >= {
        "deployments",
        "statefulsets",
        "services",
        "ragindexes",
        "networkpolicies",
        "roles",
    }
    # A machine that takes longer for everything takes longer for this, too, but not until there is something to wait for.
    enough = max(MADE + NOISE, first_ready(running) - born)
    late = {what: seconds for what, seconds in since.items() if seconds > enough}
    assert late == {}, since


@pytest.mark.own_cluster  # the audit log of somebody else's cluster cannot be read
def test_at_rest_nothing_is_written_while_documents_are_listed_and_others_touch_what_is_theirs(running: Installed) -> None:
    wait_until(lambda: ready(running), RECOVERED, "the pipeline to be Ready", 1)
    for _ in range(WINDOWS):
        wait_until(lambda: not writes(running, time.time() - QUIET), RECOVERED, "the last status of the last change to be written", 1)
        began = time.time()
        running.namespace.kubectl("annotate", "deployment", f"{NAME}-gateway", f"example.com/note=of-{began:.0f}", "--overwrite")
        within(lambda began=began: writes(running, began), AT_REST, every=1)  # a write ends it
        if not writes(running, began) or not has_news(running, began):
            break  # what was news to the operator was no rest
    assert writes(running, began) == {}


def test_every_child_that_is_deleted_is_back_within_seconds_and_the_pipeline_answers_again(running: Installed) -> None:
    listed = running.namespace.listed(KINDS, f"ragops.dev/pipeline={NAME}")
    slow = {}
    for body in listed:
        kind, name, uid = body["kind"], body["metadata"]["name"], body["metadata"]["uid"]
        running.namespace.kubectl("delete", f"{kind.lower()}/{name}", "--wait=false")
        began = time.time()
        back = until(
            lambda kind=kind, name=name, uid=uid: made_again(running, kind, name, uid), 120, f"{kind} {name} to be back", every=0.2
        )
        if back - began > HEALED:
            slow[f"{kind} {name}"] = back - began
    assert slow == {}
    wait_until(lambda: ready(running), RECOVERED, "the pipeline to be Ready again", 1)
    running.until_answering()
    assert running.ask("How many days of vacation do I get?")["results"][0]["document"] == "docs/leave.md"


def made_again(running: Installed, kind: str, name: str, uid: str) -> float | None:
    """When the object was made that has another's name now; how long it takes to ask does not count."""
    listed = [one["metadata"] for one in json.loads(running.namespace.kubectl("get", kind.lower(), "-o", "json"))["items"]]
    made_at = (one["creationTimestamp"] for one in listed if one["name"] == name and one["uid"] != uid)
    return next((datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() for at in made_at), None)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a node that does not exist": ({"gateway": {"pod": {"nodeSelector": {"nowhere": "x"}}}}, "Unschedulable"),
    "more memory than there is": (
        {"gateway": {"pod": {"resources": {"requests": {"memory": "900Ti"}, "limits": {"memory": "900Ti"}}}}},
        "Unschedulable",
    ),
    "a Secret that is missing": ({"gateway": {"auth": {"apiKeysSecretRef": {"name": "nowhere"}}}}, "FailedMount"),
    "an image that is missing": ({"vectorStore": {"milvus": {"standalone": {"image": "ragops.dev/nowhere:1"}}}}, "ImagePullBackOff"),
}


def says(running: Installed, reason: str) -> dict[str, Any] | None:
    """The whole status, if it gives this reason."""
    found = status(running)
    return found if found.get("reason") == reason else None


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_words_and_healed_by_taking_it_back(running: Installed, mistake: str) -> None:
    change, reason = MISTAKES[mistake]
    wait_until(lambda: ready(running), RECOVERED, "the pipeline to be Ready", 1)
    before = running.pipeline()["spec"]
    running.namespace.kubectl("patch", "ragp", NAME, "--type=merge", "-p", json.dumps({"spec": change}))
    told = until(lambda: says(running, reason), 120, f"the status to say {reason}", every=0.5)
    assert told["message"]
    assert told["phase"] == "Degraded"
    running.namespace.kubectl("patch", "ragp", NAME, "--type=json", "-p", json.dumps([{"op": "replace", "path": "/spec", "value": before}]))
    wait_until(lambda: ready(running), RECOVERED, "the pipeline to be Ready again", 1)
