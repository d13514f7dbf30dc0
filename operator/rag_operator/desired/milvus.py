"""The managed store: a standalone Milvus with a claim of ours, or an object for milvus-operator. An external store has no children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rag_operator import names
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.store import Cluster, ObjectStorage, Standalone
from rag_operator.desired.context import Manifest, Owner, Surroundings
from rag_operator.desired.meta import metadata, service
from rag_operator.desired.pods import METRICS, Container, Volume, http_probe, pod_template, scratch
from rag_runtime.contracts import pods as contract

KIND = names.KIND_MILVUS
DATA = "/var/lib/milvus"
MILVUS_METRICS_PORT = 9091
GRACE = 60
DEFAULT_RESOURCES = {"requests": {"cpu": "100m", "memory": "1Gi"}}
_ROLES: Final = ("ROOTCOORD", "QUERYCOORD", "QUERYNODE", "INDEXCOORD", "INDEXNODE", "DATACOORD", "DATANODE", "PROXY")


def must_be_dropped(spec: RAGPipelineSpec) -> bool:
    """Whether the data are to go with the pipeline, and no claim or object takes them along: then deleting waits for Jobs that drop."""
    return spec.vector_store.milvus.external is not None and spec.deletion_policy == "Delete"


def children(owner: Owner, spec: RAGPipelineSpec, image: str, surroundings: Surroundings) -> list[Manifest | None]:
    """Everything that the store consists of."""
    milvus = spec.vector_store.milvus
    retained = spec.deletion_policy == "Retain"
    if milvus.standalone is not None:
        return [
            _claim(owner, milvus.standalone, retained),
            _service(owner),
            _stateful_set(owner, milvus.standalone, milvus.standalone.image or image, surroundings),
        ]
    if milvus.cluster is not None:
        return [_cluster(owner, milvus.cluster, milvus.cluster.image or image, retained)]
    return []


def _claim(owner: Owner, spec: Standalone, retained: bool) -> Manifest:
    claim: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": str.__str__(spec.storage)}}}
    if spec.storage_class_name:
        claim["storageClassName"] = spec.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        # The data follow the claim: with Retain it has no owner and outlives the pipeline.
        "metadata": metadata(owner, names.milvus(owner.name), KIND, owned=not retained),
        "spec": claim,
    }


def _service(owner: Owner) -> Manifest:
    ports = {"grpc": (contract.MILVUS_PORT, "grpc"), METRICS: (MILVUS_METRICS_PORT, METRICS)}
    return service(owner, names.milvus(owner.name), KIND, None, ports)


def _stateful_set(owner: Owner, spec: Standalone, image: str, surroundings: Surroundings) -> Manifest:
    name = names.milvus(owner.name)
    container = Container(
        name=KIND,
        image=image,
        # Arguments, not a command: the entry points of images differ, what follows them does not.
        args=["milvus", "run", "standalone"],
        environment=_environment(),
        ports={"grpc": contract.MILVUS_PORT, METRICS: MILVUS_METRICS_PORT},
        probes=_probes(),
        resources=DEFAULT_RESOURCES,
    )
    data = Volume("data", {"persistentVolumeClaim": {"claimName": name}}, DATA)
    template = pod_template(
        owner, KIND, None, container, spec.pod, surroundings=surroundings, volumes=[data, scratch("tmp", "/tmp")], grace=GRACE
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(owner, name, KIND),
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": names.selector(owner.name, KIND)},
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 2,
            "template": template,
        },
    }


def _environment() -> Mapping[str, str]:
    return {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(MILVUS_METRICS_PORT),
        "ETCD_USE_EMBED": "true",
        "ETCD_DATA_DIR": f"{DATA}/etcd",
        "COMMON_STORAGETYPE": "local",
        "LOCALSTORAGE_PATH": f"{DATA}/data/",
        "MQ_TYPE": "rocksmq",
        "ROCKSMQ_PATH": f"{DATA}/rdb_data",
        # Its parts find each other through leases in etcd under the address of the pod. A new pod has another address and waits for the old
        # leases to end: 40 s and more with the defaults. With an address that stays and leases of 10 s it is back in half of that. Much
        # shorter ones are a trap: a server that cannot renew them, because its machine is busy for some seconds, ends itself.
        "COMMON_SESSION_TTL": "10",
        "COMMON_GRACEFULSTOPTIMEOUT": "3",
        **{f"{role}_IP": "127.0.0.1" for role in _ROLES},
        "HOME": "/tmp",
    }


def _probes() -> Manifest:
    return {
        "startupProbe": http_probe("/healthz", METRICS, period=2, failures=450),
        "readinessProbe": http_probe("/healthz", METRICS, period=3, failures=2, timeout=3),
        "livenessProbe": http_probe("/healthz", METRICS, period=15, failures=8, timeout=10),
    }


def _cluster(owner: Owner, spec: Cluster, image: str, retained: bool) -> Manifest:
    return {
        "apiVersion": "milvus.io/v1beta1",
        "kind": "Milvus",
        "metadata": metadata(owner, names.milvus(owner.name), KIND, owned=not retained),
        "spec": {
            "mode": "cluster",
            "components": {
                "image": image,
                "proxy": {"replicas": spec.proxies},
                "queryNode": {"replicas": spec.query_nodes},
                "dataNode": {"replicas": spec.data_nodes},
                **_cluster_pods(owner, spec),
            },
            "dependencies": {
                "msgStreamType": "woodpecker",
                "etcd": {"inCluster": _in_cluster(spec.etcd.replicas, str.__str__(spec.etcd.storage), "replicaCount", retained)},
                "storage": _objects(spec.object_storage, retained),
            },
            "config": _cluster_config(spec.object_storage),
        },
    }


def _cluster_pods(owner: Owner, spec: Cluster) -> Manifest:
    wire = spec.pod.to_wire()
    kept = ("nodeSelector", "tolerations", "affinity", "imagePullSecrets", "resources", "env", "priorityClassName", "runtimeClassName")
    # Policies and `kubectl get` find the pods by the pipeline's labels.
    return {**{key: wire[key] for key in kept if key in wire}, "podLabels": names.labels(owner.name, KIND)}


def _in_cluster(replicas: int, storage: str, replica_key: str, retained: bool) -> Manifest:
    return {
        "deletionPolicy": "Retain" if retained else "Delete",
        "pvcDeletion": not retained,
        "values": {replica_key: replicas, "persistence": {"size": storage}},
    }


def _objects(storage: ObjectStorage, retained: bool) -> Manifest:
    if storage.in_cluster is not None:
        inside = _in_cluster(storage.in_cluster.replicas, str.__str__(storage.in_cluster.storage), "replicas", retained)
        return {"type": "MinIO", "inCluster": {**inside, "values": {**inside["values"], "mode": "distributed"}}}
    if storage.s3 is None:
        raise ValueError("object storage is inCluster or s3")
    found: Manifest = {"type": "S3", "external": True, "endpoint": _endpoint(storage.s3.endpoint, storage.s3.region)}
    if storage.s3.credentials_secret_ref is not None:
        found["secretRef"] = storage.s3.credentials_secret_ref.name
    return found


def _endpoint(url: str | None, region: str | None) -> str:
    if url is None:
        return f"s3.{region}.amazonaws.com:443" if region else "s3.amazonaws.com:443"
    host = url.split("://", 1)[1].split("/", 1)[0]
    return host if ":" in host else f"{host}:{443 if url.startswith('https') else 80}"


def _cluster_config(storage: ObjectStorage) -> Manifest:
    s3 = storage.s3
    if s3 is None:
        return {}
    tls = s3.endpoint is None or s3.endpoint.startswith("https")
    return {"minio": {"bucketName": s3.bucket, "rootPath": s3.prefix.strip("/"), "useSSL": tls}}
