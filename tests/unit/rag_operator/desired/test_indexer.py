from __future__ import annotations

from dataclasses import replace
from typing import Any

from doubles.manifests import built, container_of, environment_of, intent, revision_of, spec_of, wanted_of
from rag_operator import names
from rag_operator.api.v1alpha1.index import RAGIndexSpec
from rag_operator.model.plan import Keep
from rag_operator.model.revision import Revision
from rag_runtime.contracts import index as reader
from rag_runtime.contracts import pods as contract

SOURCES = [
    {"name": "bucket", "s3": {"bucket": "docs", "endpoint": "https://s3.internal", "credentialsSecretRef": {"name": "s3-read"}}},
    {"name": "files", "pvc": {"claimName": "shared", "path": "handbook"}},
    {"name": "code", "git": {"url": "https://git.example.com/a/b", "credentialsSecretRef": {"name": "git-read"}}},
    {"name": "notes", "configMap": {"name": "notes"}},
]


def test_one_syncer_at_a_time_follows_all_indexes() -> None:
    stable, candidate = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}))
    found = built(wanted_of(stable, candidate))
    syncer = found["Deployment", "handbook-indexer"]
    assert syncer["spec"]["replicas"] == 1
    assert syncer["spec"]["strategy"] == {"type": "Recreate"}
    assert container_of(syncer)["args"] == ["sync"]
    assert environment_of(syncer)[contract.ENV_CLUSTER_UID] == "c-1"


def test_sources_reach_the_pods_as_secrets_and_read_only_volumes() -> None:
    syncer = built(wanted_of(revision_of(spec_of(sources=SOURCES))))["Deployment", "handbook-indexer"]
    mounts = {one["mountPath"]: one for one in container_of(syncer)["volumeMounts"]}
    assert mounts["/sources/files"]["readOnly"] is True
    assert {"/etc/rag/credentials/s3-read", "/etc/rag/credentials/git-read"} <= set(mounts)
    volumes = {one["name"]: one for one in syncer["spec"]["template"]["spec"]["volumes"]}
    assert volumes["source-files"]["persistentVolumeClaim"] == {"claimName": "shared", "readOnly": True}
    assert "s3-read" not in str(environment_of(syncer))


def elsewhere(secret: str, url: str = "https://models.example.com/v1", **change: Any) -> Revision:
    endpoint = {"url": url, "model": "e", "dimensions": 8, "revision": "1", "credentialsSecretRef": {"name": secret}, **change}
    return revision_of(spec_of(embedder={"local": None, "external": endpoint}))


def mounted(*revisions: Revision, **settings: Any) -> set[str]:
    """The credentials of the syncer."""
    syncer = built(replace(wanted_of(*revisions), **settings))["Deployment", "handbook-indexer"]
    prefix = f"{contract.CREDENTIALS_DIR}/"
    mounts = [mount["mountPath"] for mount in container_of(syncer)["volumeMounts"]]
    return {path.removeprefix(prefix) for path in mounts if path.startswith(prefix)}


def test_the_key_of_an_embedder_is_mounted_only_for_an_index_that_is_filled() -> None:
    stable, other = elsewhere("one"), elsewhere("two", revision="2")
    assert mounted(stable, other) == {"one", "two"}
    for mode in ("Stop", "Drop"):
        assert mounted(stable, other, indexes={stable.index.name: intent(stable), other.index.name: intent(other, mode)}) == {"one"}


def test_the_key_of_another_embedder_of_the_same_index_is_mounted_while_the_two_are_compared() -> None:
    stable, other = elsewhere("one"), elsewhere("two", "https://other.example.com/v1")
    assert stable.index.name == other.index.name
    assert mounted(stable, other) == {"one", "two"}
    assert mounted(stable, other, keep=(Keep(stable.name, "stable"), Keep(other.name, "leaving"))) == {"one"}


def test_an_indexer_may_report_about_its_own_indexes_and_read_its_own_configmaps_only() -> None:
    stable, candidate = revision_of(spec_of(sources=SOURCES)), revision_of(spec_of(sources=SOURCES, embedder={"local": {"dimensions": 32}}))
    rules = built(wanted_of(stable, candidate))["Role", "handbook-indexer"]["rules"]
    named = {(rule["resources"][0], tuple(rule["verbs"])): rule.get("resourceNames") for rule in rules}
    assert named["ragindexes/status", ("patch",)] == sorted([stable.index.name, candidate.index.name])
    assert named["configmaps", ("get",)] == ["notes"]
    assert not any("secrets" in rule["resources"] for rule in rules)


def test_the_authority_of_an_external_store_lies_beside_its_credentials() -> None:
    external = {
        "address": "milvus.example.com:19530",
        "credentialsSecretRef": {"name": "login"},
        "tls": {"caSecretRef": {"name": "authority", "key": "root.pem"}},
    }
    found = built(wanted_of(revision_of(spec_of(vectorStore={"milvus": {"standalone": None, "external": external}}))))
    for name in ("handbook-gateway", "handbook-indexer"):
        pod = found["Deployment", name]["spec"]["template"]["spec"]
        mounts = {one["mountPath"]: one["name"] for one in pod["containers"][0]["volumeMounts"]}
        sources = {one["name"]: one.get("projected", {}).get("sources") for one in pod["volumes"]}
        assert sources[mounts["/etc/rag/credentials/login"]] == [
            {"secret": {"name": "login"}},
            {"secret": {"name": "authority", "items": [{"key": "root.pem", "path": "ca.crt"}]}},
        ]
        assert sources[mounts["/etc/rag/credentials/authority"]] == [{"secret": {"name": "authority"}}]


def test_an_index_is_what_was_recorded_and_is_filled_from_what_is_wanted_now() -> None:
    stable = revision_of()
    newest = revision_of(spec_of(sources=SOURCES, documents={"maxDeleteFraction": "50%"}, embedder={"local": {"dimensions": 32}}))
    found = built(replace(wanted_of(stable), newest=newest))["RAGIndex", stable.index.name]
    spec = RAGIndexSpec.model_validate(found["spec"])
    assert spec.identity.digest == stable.index.digest
    assert spec.collection == stable.collection
    assert spec.embedder.dimensions == 384
    assert [source.name for source in spec.sources] == ["bucket", "files", "code", "notes"]
    assert spec.max_delete_fraction == "50%"


def test_the_indexer_can_read_the_index_that_is_written_for_it() -> None:
    revision = revision_of(spec_of(sources=SOURCES))
    found = built(wanted_of(revision, mode="Build"))["RAGIndex", revision.index.name]
    read = reader.IndexSpec.model_validate(found["spec"])
    assert read.collection == revision.collection
    assert read.milvus.address == "handbook-milvus.search.svc:19530"
    assert read.embedder.url == f"http://{revision.embedder.name}.search.svc:8080"
    assert read.work.mode == "Build"


def test_an_index_is_compared_with_every_embedder_that_may_answer_from_it_besides_the_one_that_fills_it() -> None:
    def rebuilt(tag: str) -> Revision:
        return revision_of(spec_of(embedder={"local": {"model": {"source": {"image": {"reference": f"ragops.dev/models:{tag}"}}}}}))

    stable, candidate, gone = revision_of(), rebuilt("0.2"), rebuilt("0.3")
    prompt = revision_of(spec_of(retrieval={"topK": 20}))
    roles = [(stable, "stable"), (candidate, "candidate"), (prompt, "retired"), (gone, "leaving")]
    keep = [Keep(revision.name, role) for revision, role in roles]  # type: ignore[arg-type]
    spec = built(wanted_of(stable, candidate, prompt, gone, keep=keep))["RAGIndex", stable.index.name]["spec"]
    assert spec["embedder"]["url"] == f"http://{stable.embedder.name}.search.svc:8080"
    assert [access["url"] for access in spec["compare"]] == [f"http://{candidate.embedder.name}.search.svc:8080"]
    assert len(reader.IndexSpec.model_validate(spec).compare) == 1


def test_approved_deletions_and_collecting_reach_the_index() -> None:
    revision = revision_of()
    indexes = {revision.index.name: intent(revision, "Stop", collecting=True, approved_deletions="x/1")}
    spec = built(replace(wanted_of(revision), indexes=indexes))["RAGIndex", revision.index.name]["spec"]
    assert (spec["collecting"], spec["approvedDeletions"], spec["work"]["mode"]) == (True, "x/1", "Stop")


def test_an_index_outlasts_a_cascade_only_where_its_data_must_be_dropped_by_us() -> None:
    external = {"milvus": {"standalone": None, "external": {"address": "milvus.example:19530"}}}
    held = {}
    for change in ({}, {"vectorStore": external}, {"deletionPolicy": "Delete"}, {"vectorStore": external, "deletionPolicy": "Delete"}):
        revision = revision_of(spec_of(**change))
        found = built(wanted_of(revision))["RAGIndex", revision.index.name]
        held[len(change), "vectorStore" in change] = found["metadata"].get("finalizers")
    assert held == {(0, False): None, (1, True): None, (1, False): None, (2, True): [names.FINALIZER]}


def test_sources_with_long_names_that_begin_alike_are_read_from_their_own_volumes() -> None:
    names = [f"{'s' * 62}{number}" for number in (1, 2)]
    sources = [{"name": name, "pvc": {"claimName": f"claim-{name[-1]}"}} for name in names]
    pod = built(wanted_of(revision_of(spec_of(sources=sources))))["Deployment", "handbook-indexer"]["spec"]["template"]["spec"]
    claims = {one["name"]: one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "persistentVolumeClaim" in one}
    mounts = {one["mountPath"]: claims[one["name"]] for one in pod["containers"][0]["volumeMounts"] if one["name"] in claims}
    assert mounts == {f"/sources/{name}": f"claim-{name[-1]}" for name in names}
    assert all(len(name) <= 63 for name in claims)
