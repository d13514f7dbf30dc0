"""What Kubernetes asks of every image of ours: a pod that is told to end does so, however early it is told."""

from __future__ import annotations

import time

import pytest

from cluster.full import Cluster
from cluster.processes import wait_until
from e2e.cluster_manifests import RESTRICTED, RESTRICTED_POD
from e2e.namespaces import Namespace

GRACE = 300  # seconds that the pod would go on if it were deaf
ENDED = 60
# Imported before anything of ours, and never done: a start that takes long.
SLOW_START = "import time; print('starting', flush=True); time.sleep(3600)"


@pytest.mark.parametrize("image", ["operator", "gateway", "embedder", "indexer"])
def test_a_pod_that_still_starts_ends_when_it_is_told_to(restricted: Namespace, cluster: Cluster, image: str) -> None:
    container = {
        "name": "main",
        "image": cluster.image(image),
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "PYTHONPATH", "value": "/slow:/opt/app"}],
        "volumeMounts": [{"name": "slow", "mountPath": "/slow"}],
        "securityContext": RESTRICTED,
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": RESTRICTED_POD,
        "containers": [container],
        "volumes": [{"name": "slow", "configMap": {"name": "slow"}}],
    }
    restricted.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "slow"}, "data": {"sitecustomize.py": SLOW_START}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "starting"}, "spec": spec},
    )
    restricted.wait("pod/starting", "condition=Ready")
    wait_until(lambda: "starting" in restricted.kubectl("logs", "starting"), 60, "the interpreter to start")
    since = time.monotonic()
    restricted.kubectl("delete", "pod", "starting", "--wait=true", f"--timeout={GRACE + 60}s", timeout=GRACE + 90)
    assert time.monotonic() - since < ENDED
