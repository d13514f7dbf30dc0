"""Where the vectors are: Milvus, its collections' shape, and how they are searched."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rag_operator.api.base import Model
from rag_operator.api.marks import FIXED, IN_PLACE, LAYOUT, REVISION
from rag_operator.api.rules import Rule, grows, one_of, same_member
from rag_operator.api.scalars import Quantity
from rag_operator.api.v1alpha1.common import HostPort, Image, ObjectName, Replicas, S3Location, SecretKeyRef, SecretRef
from rag_operator.api.v1alpha1.pod import PodSettings

_NEW_PIPELINE = "make a new RAGPipeline beside this one, move the clients, then delete this one"
Nlist = Annotated[int, Field(ge=1, le=65536)]


class Standalone(Model):
    """A single Milvus server that the operator runs. Its data follow its volume."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        grows("storage", _NEW_PIPELINE),
        Rule(
            "has(self.storageClassName) == has(oldSelf.storageClassName) && "
            "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
            f"storageClassName cannot change: {_NEW_PIPELINE}",
            path=".storageClassName",
        ),
    )

    storage: Annotated[Quantity, IN_PLACE]
    """Size of the volume. It may grow, where the StorageClass lets it."""
    storage_class_name: Annotated[ObjectName, FIXED] | None = None
    """StorageClass of the volume. Unset: the default one."""
    image: Annotated[Image, IN_PLACE] | None = None
    """Image of Milvus, with tag or digest. Unset: the one that belongs to runtime.version."""
    pod: Annotated[PodSettings, IN_PLACE] = Field(default_factory=PodSettings)
    """How the pod runs."""


class EtcdStorage(Model):
    """The etcd of a Milvus cluster."""

    replicas: Annotated[Literal[1, 3, 5], FIXED] = 3
    """Number of members."""
    storage: Annotated[Quantity, FIXED] = Quantity("10Gi")
    """Size of each member's volume."""


class InClusterObjects(Model):
    """An object store that milvus-operator runs."""

    replicas: Annotated[int, Field(ge=1, le=16), FIXED] = 4
    """Number of servers."""
    storage: Annotated[Quantity, FIXED] = Quantity("100Gi")
    """Size of each server's volume."""


class ObjectStorage(Model):
    """Where a Milvus cluster keeps its segments."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("in_cluster", "s3"),)

    in_cluster: InClusterObjects | None = None
    """An object store that milvus-operator runs."""
    s3: Annotated[S3Location, FIXED] | None = None
    """A bucket that exists."""


class Cluster(Model):
    """A distributed Milvus, run by milvus-operator, which must be installed."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("self.etcd == oldSelf.etcd", f"etcd cannot change: {_NEW_PIPELINE}", path=".etcd"),
        Rule("self.objectStorage == oldSelf.objectStorage", f"objectStorage cannot change: {_NEW_PIPELINE}", path=".objectStorage"),
    )

    proxies: Annotated[Replicas, IN_PLACE] = 1
    """Number of proxies, which take requests."""
    query_nodes: Annotated[Replicas, IN_PLACE] = 2
    """Number of query nodes, which search. vectorStore.milvus.replicas copies of an index need as many."""
    data_nodes: Annotated[Replicas, IN_PLACE] = 1
    """Number of data nodes, which write and build indexes."""
    image: Annotated[Image, IN_PLACE] | None = None
    """Image of Milvus, with tag or digest. Unset: the one that belongs to runtime.version."""
    etcd: EtcdStorage = Field(default_factory=EtcdStorage)
    """The cluster's etcd."""
    object_storage: ObjectStorage = ObjectStorage(inCluster=InClusterObjects())
    """Where segments are kept."""
    pod: Annotated[PodSettings, IN_PLACE] = Field(default_factory=PodSettings)
    """How the pods of all Milvus components run."""


class Tls(Model):
    """TLS to a store; its presence switches it on."""

    ca_secret_ref: Annotated[SecretKeyRef, IN_PLACE] | None = None
    """The authority's certificate, PEM. Unset: the system's authorities."""
    server_name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9.-]+$"), IN_PLACE] | None = None
    """The name in the server's certificate, when it differs from the address."""


class ExternalMilvus(Model):
    """A Milvus that somebody else runs."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.address == oldSelf.address && self.database == oldSelf.database",
            f"address and database of the store cannot change: {_NEW_PIPELINE}",
            path=".address",
        ),
    )

    address: Annotated[HostPort, FIXED]
    """host:port of the gRPC service."""
    database: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), FIXED] = "default"
    """Database that holds the collections."""
    credentials_secret_ref: Annotated[SecretRef, IN_PLACE] | None = None
    """Secret with username and password, or with token."""
    tls: Tls | None = None
    """TLS to the server. Unset: none."""


class Hnsw(Model):
    """A graph: fast and exact, in memory."""

    m: Annotated[int, Field(alias="M", ge=4, le=64), LAYOUT] = 16
    """Edges per node."""
    ef_construction: Annotated[int, Field(ge=8, le=512), LAYOUT] = 200
    """Candidates looked at while building. More is slower and better."""


class IvfFlat(Model):
    """Clusters of whole vectors."""

    nlist: Annotated[Nlist, LAYOUT] = 1024
    """Number of clusters."""


class IvfSq8(Model):
    """Clusters of vectors of 8 bits a dimension."""

    nlist: Annotated[Nlist, LAYOUT] = 1024
    """Number of clusters."""


class IvfPq(Model):
    """Clusters of product-quantised vectors: the smallest, the least exact."""

    nlist: Annotated[Nlist, LAYOUT] = 1024
    """Number of clusters."""
    m: Annotated[int, Field(ge=1, le=32768), LAYOUT]
    """Number of parts that a vector is cut into. It must divide the dimensions."""
    nbits: Annotated[int, Field(ge=1, le=16), LAYOUT] = 8
    """Bits for each part."""


class Flat(Model):
    """No index: every vector is compared. Exact, for small collections."""


IndexKind = Literal["hnsw", "ivfFlat", "ivfSq8", "ivfPq", "flat"]


class VectorIndex(Model):
    """How the vectors are indexed."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("hnsw", "ivf_flat", "ivf_sq8", "ivf_pq", "flat"),)

    hnsw: Hnsw | None = None
    """A graph: fast and exact, in memory."""
    ivf_flat: IvfFlat | None = None
    """Clusters of whole vectors."""
    ivf_sq8: IvfSq8 | None = None
    """Clusters of vectors of 8 bits a dimension."""
    ivf_pq: IvfPq | None = None
    """Clusters of product-quantised vectors."""
    flat: Annotated[Flat, LAYOUT] | None = None
    """No index: every vector is compared."""
    metric: Annotated[Literal["COSINE", "IP", "L2"], LAYOUT] = "COSINE"
    """How two vectors are compared."""

    @property
    def kind(self) -> IndexKind:
        """Which kind of index this is, by its wire name."""
        kinds: tuple[tuple[IndexKind, Model | None], ...] = (
            ("hnsw", self.hnsw),
            ("ivfFlat", self.ivf_flat),
            ("ivfSq8", self.ivf_sq8),
            ("ivfPq", self.ivf_pq),
        )
        return next((kind for kind, member in kinds if member is not None), "flat")


class Search(Model):
    """How thoroughly an index is searched. Which one applies depends on the kind of index."""

    ef: Annotated[int, Field(ge=1, le=32768), REVISION] | None = None
    """Candidates that a search of an hnsw index looks at. Unset: 64, and at least what the search asks for."""
    nprobe: Annotated[int, Field(ge=1, le=65536), REVISION] | None = None
    """Clusters that a search of an ivf index looks into. Unset: 16."""


def _search_fits(milvus: Milvus) -> bool:
    graph = milvus.index.kind == "hnsw"
    clusters = milvus.index.kind.startswith("ivf")
    return (milvus.search.ef is None or graph) and (milvus.search.nprobe is None or clusters)


class Milvus(Model):
    """A Milvus and the shape of the collections in it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        one_of("standalone", "cluster", "external"),
        same_member("standalone", "cluster", "external", message=f"the kind of the store cannot change: {_NEW_PIPELINE}"),
        Rule(
            "!has(self.standalone) || self.replicas == 1",
            "replicas must be 1 for a standalone Milvus: use cluster for more",
            lambda self: self.standalone is None or self.replicas == 1,
            path=".replicas",
        ),
        Rule(
            "!has(self.cluster) || self.replicas <= self.cluster.queryNodes",
            "replicas must not exceed cluster.queryNodes: each copy needs a query node of its own",
            lambda self: self.cluster is None or self.replicas <= self.cluster.query_nodes,
            path=".replicas",
        ),
        Rule(
            "(!has(self.search.ef) || has(self.index.hnsw)) && (!has(self.search.nprobe) || "
            "has(self.index.ivfFlat) || has(self.index.ivfSq8) || has(self.index.ivfPq))",
            "search.ef is for an hnsw index, search.nprobe for ivfFlat, ivfSq8 and ivfPq; a flat index has neither",
            _search_fits,
            path=".search",
        ),
    )

    standalone: Standalone | None = None
    """A single server that the operator runs."""
    cluster: Cluster | None = None
    """A distributed Milvus, run by milvus-operator."""
    external: ExternalMilvus | None = None
    """A Milvus that somebody else runs."""
    shards: Annotated[int, Field(ge=1, le=16), LAYOUT] = 1
    """Into how many parts writes to a collection are split."""
    replicas: Annotated[int, Field(ge=1, le=16), IN_PLACE] = 1
    """How many copies of an index are held in memory. 1 for standalone. Milvus 2.3 changes it for new indexes alone."""
    index: VectorIndex = VectorIndex(hnsw=Hnsw())
    """How the vectors are indexed."""
    search: Search = Field(default_factory=Search)
    """How thoroughly the index is searched."""


class VectorStore(Model):
    """Where the vectors are."""

    milvus: Milvus
    """Milvus, the one store so far."""
