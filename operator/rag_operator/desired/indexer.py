"""The indexer: one syncer for all live indexes of a pipeline, what its Jobs share with it, and the RAGIndex objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rag_operator import names
from rag_operator.api.v1alpha1.documents import Source
from rag_operator.api.v1alpha1.index import PipelineRef, RAGIndexSpec
from rag_operator.api.v1alpha1.pod import PodSettings
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.desired import addresses, credentials
from rag_operator.desired.context import IndexIntent, Manifest, Owner, Surroundings
from rag_operator.desired.meta import metadata
from rag_operator.desired.milvus import must_be_dropped
from rag_operator.desired.permissions import granted, indexer_rules
from rag_operator.desired.pods import METRICS, Container, Volume, http_probe, own_environment, pod_template, scratch
from rag_operator.desired.workloads import ONE_AT_A_TIME, deployment
from rag_operator.model.revision import Revision
from rag_runtime.contracts import pods as contract

KIND = names.KIND_INDEXER
GRACE = 60  # seconds; a flush takes three
LONGEST_VOLUME_NAME = 63
DEFAULT_RESOURCES = {"requests": {"cpu": "50m", "memory": "384Mi"}, "limits": {"memory": "4Gi"}}


@dataclass(frozen=True)
class Indexing:
    """What the syncer and the Jobs of a pipeline have in common."""

    owner: Owner
    image: str
    sources: tuple[Source, ...]  # the newest: they are data, the same for every index
    pod: PodSettings
    build_parallelism: int
    revisions: tuple[Revision, ...] = field(repr=False)  # whose stores are reached
    surroundings: Surroundings = field(repr=False)
    embedding: tuple[Revision, ...] = field(default=(), repr=False)  # whose embedders are asked

    def template(
        self,
        command: str,
        component: str | None,
        environment: Mapping[str, str],
        *,
        kind: str = KIND,
        extra: Sequence[Volume] = (),
        secrets: Sequence[credentials.Part] = (),
        once: bool = False,
        store_only: bool = False,
    ) -> Manifest:
        """The pods of one command. `once`: of a Job, which serves nothing and does not start again by itself.

        `store_only`: it needs neither sources nor embedder, so it starts also when their Secrets and volumes are gone. `secrets`: what it
        reads beside theirs and the store's.
        """
        container = Container(
            name=KIND,
            image=self.image,
            args=[command],
            environment={
                **own_environment(self.owner, self.surroundings, component or kind, GRACE),
                contract.ENV_CLUSTER_UID: self.surroundings.cluster,
                **environment,
            },
            ports={} if once else {METRICS: contract.METRICS_PORT},
            probes={} if once else _probes(),
            resources=DEFAULT_RESOURCES,
        )
        return pod_template(
            self.owner,
            kind,
            component,
            container,
            self.pod,
            surroundings=self.surroundings,
            volumes=[*(self._of_store() if store_only else self._volumes(secrets)), *extra],
            grace=GRACE,
            service_account=names.indexer(self.owner.name),
            restart="Never" if once else None,
        )

    def _of_store(self) -> list[Volume]:
        return [scratch("tmp", "/tmp"), *credentials.volumes(self._store_parts())]

    def _volumes(self, further: Iterable[credentials.Part]) -> list[Volume]:
        embedders = [part for revision in self.embedding for part in credentials.of_embedder(revision.spec)]
        parts = [*credentials.of_sources(self.sources), *embedders, *self._store_parts(), *further]
        claims = [_source_volume(source) for source in self.sources if source.pvc is not None]
        return [scratch("tmp", "/tmp"), *credentials.volumes(parts), *claims]

    def _store_parts(self) -> list[credentials.Part]:
        return [part for revision in self.revisions for part in credentials.of_store(revision.spec.vector_store.milvus.external)]


def _source_volume(source: Source) -> Volume:
    if source.pvc is None:
        raise ValueError(f"source {source.name} is not on a volume")
    claim = {"persistentVolumeClaim": {"claimName": source.pvc.claim_name, "readOnly": True}}
    return Volume(_volume_name(source.name), claim, f"{contract.SOURCES_DIR}/{source.name}", read_only=True)


def _volume_name(source: str) -> str:
    whole = f"source-{source}"
    if len(whole) <= LONGEST_VOLUME_NAME:
        return whole
    # Two that begin alike must not become one volume: documents would be read under the name of another source.
    digest = hashlib.sha256(source.encode()).hexdigest()[: names.HASH_LENGTH]
    return f"{whole[: LONGEST_VOLUME_NAME - names.HASH_LENGTH - 1]}-{digest}"


def rights(indexing: Indexing, indexes: Iterable[str]) -> list[Manifest]:
    """The account of indexers and what it may do."""
    owner = indexing.owner
    maps = [source.config_map.name for source in indexing.sources if source.config_map is not None]
    rules = indexer_rules(tuple(indexes), maps)
    return granted(owner, names.indexer(owner.name), KIND, rules, indexing.pod.service_account_name)


def syncer(indexing: Indexing) -> Manifest:
    """One syncer: it lists each source once and brings every live index up to date. Never two at a time."""
    owner = indexing.owner
    template = indexing.template("sync", None, {})
    return deployment(owner, names.indexer(owner.name), KIND, None, template, replicas=1, strategy=ONE_AT_A_TIME)


def index(owner: Owner, revision: Revision, newest: RAGPipelineSpec, intent: IndexIntent, compared: Iterable[Revision] = ()) -> Manifest:
    """The RAGIndex of a revision. What it is comes from the record, what flows into it from the newest spec.

    `compared`: revisions that answer from it by another embedder.
    """
    spec = RAGIndexSpec(
        pipeline_ref=PipelineRef(name=owner.name, uid=owner.uid),
        identity=intent.identity,
        collection=revision.collection,
        sources=newest.sources,
        metadata_fields=newest.documents.metadata,
        max_delete_fraction=newest.documents.max_delete_fraction,
        max_document_size=newest.documents.max_document_size,
        approved_deletions=intent.approved_deletions,
        embedder=addresses.embedder_access(owner, revision),
        compare=tuple(addresses.embedder_access(owner, other) for other in compared) or None,
        milvus=addresses.milvus_access(owner, newest.vector_store.milvus),
        work=intent.work,
        collecting=intent.collecting,
    )
    name = revision.index.name
    meta = metadata(owner, name, names.KIND_INDEX, name, annotations={names.ANNOTATION_DIGEST: revision.index.digest})
    if must_be_dropped(newest):
        # A foreground cascade takes children away while the pipeline's own finalizer is held: what names the collections must outlast it.
        meta["finalizers"] = [names.FINALIZER]
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INDEX_KIND,
        "metadata": meta,
        "spec": spec.to_wire(),
    }


def _probes() -> Manifest:
    return {
        "startupProbe": http_probe("/healthz", METRICS, period=2, failures=150),
        "readinessProbe": http_probe("/readyz", METRICS, period=5, failures=3),
        "livenessProbe": http_probe("/healthz", METRICS, period=15, failures=8, timeout=5),
    }
