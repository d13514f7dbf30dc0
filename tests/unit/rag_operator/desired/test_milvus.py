from __future__ import annotations

from typing import Any

from doubles.manifests import OWNER, built, container_of, environment_of, revision_of, spec_of, wanted_of
from rag_operator.desired import addresses

CLUSTER = {"standalone": None, "cluster": {"queryNodes": 3}}


def store(deletion: str = "Retain", **milvus: Any) -> dict[tuple[str, str], Any]:
    return built(wanted_of(revision_of(spec_of(vectorStore={"milvus": milvus}, deletionPolicy=deletion))))


def test_the_data_of_a_retained_store_outlive_the_pipeline_and_follow_a_deleted_one() -> None:
    assert "ownerReferences" not in store()["PersistentVolumeClaim", "handbook-milvus"]["metadata"]
    assert store("Delete")["PersistentVolumeClaim", "handbook-milvus"]["metadata"]["ownerReferences"]


def test_the_server_is_always_owned() -> None:
    assert store()["StatefulSet", "handbook-milvus"]["metadata"]["ownerReferences"]


def test_the_claim_is_one_of_ours_so_that_it_may_grow() -> None:
    found = store(standalone={"storage": "20Gi", "storageClassName": "fast"})
    assert "volumeClaimTemplates" not in found["StatefulSet", "handbook-milvus"]["spec"]
    claim = found["PersistentVolumeClaim", "handbook-milvus"]["spec"]
    assert claim["resources"]["requests"]["storage"] == "20Gi"
    assert claim["storageClassName"] == "fast"


def test_a_standalone_server_keeps_everything_on_its_volume_and_restarts_quickly() -> None:
    manifest = store()["StatefulSet", "handbook-milvus"]
    environment = environment_of(manifest)
    for name in ("ETCD_DATA_DIR", "LOCALSTORAGE_PATH", "ROCKSMQ_PATH"):
        assert environment[name].startswith("/var/lib/milvus/"), name
    assert 5 <= int(environment["COMMON_SESSION_TTL"]) <= 15, "longer ones delay a restart, shorter ones end a busy server"
    assert environment["PROXY_IP"] == "127.0.0.1"
    assert container_of(manifest)["args"] == ["milvus", "run", "standalone"]
    assert "command" not in container_of(manifest)


def test_the_image_of_the_spec_wins() -> None:
    found = store(standalone={"image": "registry.example/milvus:2.3.5"})
    assert container_of(found["StatefulSet", "handbook-milvus"])["image"] == "registry.example/milvus:2.3.5"


def test_a_cluster_is_an_object_for_milvus_operator_and_no_pod_of_ours() -> None:
    found = store(**CLUSTER)
    spec = found["Milvus", "handbook-milvus"]["spec"]
    assert spec["mode"] == "cluster"
    assert spec["components"]["queryNode"] == {"replicas": 3}
    assert spec["dependencies"]["etcd"]["inCluster"]["deletionPolicy"] == "Retain"
    assert ("StatefulSet", "handbook-milvus") not in found


def test_a_cluster_is_reached_through_the_service_that_milvus_operator_makes() -> None:
    milvus = spec_of(vectorStore={"milvus": CLUSTER}).vector_store.milvus
    assert addresses.milvus_address(OWNER, milvus) == "handbook-milvus-milvus.search.svc:19530"


def test_a_cluster_that_is_deleted_with_its_pipeline_takes_its_volumes_along() -> None:
    dependencies = store("Delete", **CLUSTER)["Milvus", "handbook-milvus"]["spec"]["dependencies"]
    assert dependencies["etcd"]["inCluster"] | {"values": None} == {"deletionPolicy": "Delete", "pvcDeletion": True, "values": None}


def test_segments_of_a_cluster_may_lie_in_a_bucket_that_exists() -> None:
    s3 = {"bucket": "segments", "prefix": "a/", "endpoint": "https://s3.internal:9000", "credentialsSecretRef": {"name": "s3"}}
    spec = store(standalone=None, cluster={"objectStorage": {"s3": s3}})["Milvus", "handbook-milvus"]["spec"]
    assert spec["dependencies"]["storage"] == {"type": "S3", "external": True, "endpoint": "s3.internal:9000", "secretRef": "s3"}
    assert spec["config"]["minio"] == {"bucketName": "segments", "rootPath": "a", "useSSL": True}


def test_an_external_store_has_no_children() -> None:
    found = store(standalone=None, external={"address": "milvus.example.com:19530"})
    assert not any(name == "handbook-milvus" for _, name in found)
