"""Volumes of the default StorageClass."""

from __future__ import annotations

import pytest

from cluster.full import Cluster
from cluster.processes import wait_until
from e2e.cluster_manifests import claim, pod
from e2e.namespaces import Namespace

VOLUMES = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
MOUNTS = [{"name": "data", "mountPath": "/data"}]


def test_a_non_root_pod_writes_to_its_volume_and_the_data_outlive_it(restricted: Namespace) -> None:
    restricted.apply(claim("data"), pod("writer", "open('/data/kept', 'w').write('x')", VOLUMES, volumeMounts=MOUNTS))
    restricted.wait("pod/writer", "jsonpath={.status.phase}=Succeeded")
    restricted.kubectl("delete", "pod", "writer")
    restricted.apply(pod("reader", "print(open('/data/kept').read())", VOLUMES, volumeMounts=MOUNTS))
    restricted.wait("pod/reader", "jsonpath={.status.phase}=Succeeded")
    assert restricted.kubectl("logs", "reader").strip() == "x"


def test_a_claim_binds_without_a_pod_and_grows(namespace: Namespace) -> None:
    namespace.apply(claim("data", "10Mi"))
    namespace.wait("persistentvolumeclaim/data", "jsonpath={.status.phase}=Bound", timeout=60)
    namespace.apply(claim("data", "20Mi"))
    namespace.wait("persistentvolumeclaim/data", "jsonpath={.status.capacity.storage}=20Mi", timeout=60)


@pytest.mark.own_cluster
def test_a_deleted_claim_takes_its_directory_with_it(namespace: Namespace, cluster: Cluster) -> None:
    namespace.apply(claim("data"))
    namespace.wait("persistentvolumeclaim/data", "jsonpath={.status.phase}=Bound", timeout=60)
    volume = namespace.get("persistentvolumeclaim", "data")["spec"]["volumeName"]
    assert (cluster.volumes / volume).is_dir()
    namespace.kubectl("delete", "persistentvolumeclaim", "data")
    wait_until(lambda: not (cluster.volumes / volume).exists(), 60, "the directory to be removed")
    wait_until(lambda: not namespace.exists("persistentvolume", volume), 60, "the volume to be removed")
