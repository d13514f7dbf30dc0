from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from doubles.manifests import built, container_of, environment_of, intent, revision_of, spec_of, wanted_of
from rag_operator.api.v1alpha1.index_status import Work
from rag_operator.api.v1alpha1.pipeline import MAX_NAME_LENGTH
from rag_operator.desired import jobs
from rag_operator.desired.context import Manifest, Owner
from rag_operator.model.plan import EvaluationIntent
from rag_runtime.contracts import pods as contract


def work_job(mode: str, **change: Any) -> Manifest:
    revision = revision_of(spec_of(**change))
    found = built(wanted_of(revision, mode=mode))
    return next(one for (kind, _), one in found.items() if kind == "Job")


def test_a_build_is_shared_by_as_many_pods_as_asked_and_each_knows_how_many_there_are() -> None:
    job = work_job("Build", indexer={"buildParallelism": 4})
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 4, 4)
    assert environment_of(job)[contract.ENV_BUILD_PARALLELISM] == "4"
    assert environment_of(job)[contract.ENV_INDEX] == revision_of().index.name
    assert container_of(job)["args"] == ["build"]


def test_a_drop_needs_one_pod_whatever_builds_need() -> None:
    job = work_job("Drop", indexer={"buildParallelism": 4})
    assert (container_of(job)["args"], job["spec"]["completions"]) == (["drop"], 1)


@pytest.mark.parametrize("mode", ["Sync", "Stop"])
def test_what_the_syncer_does_has_no_job(mode: str) -> None:
    assert jobs.work_job_name("i", Work.model_validate({"mode": mode})) is None
    assert not any(kind == "Job" for kind, _ in built(wanted_of(revision_of(), mode=mode)))


def test_another_attempt_is_another_job() -> None:
    names = {jobs.work_job_name("i", Work(mode="Build", attempt=attempt)) for attempt in (1, 2)}
    assert names == {"i-build-1", "i-build-2"}


def test_no_part_of_an_index_has_two_writers_and_a_drained_node_is_no_failure() -> None:
    spec = work_job("Build")["spec"]
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    actions = [rule["action"] for rule in spec["podFailurePolicy"]["rules"]]
    assert actions == ["Ignore", "FailJob"]


def test_shares_fail_and_pause_each_for_itself_and_one_that_fails_for_good_ends_the_job() -> None:
    spec = work_job("Build", indexer={"buildParallelism": 4})["spec"]
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (jobs.BACKOFF, 0)
    assert "backoffLimit" not in spec, "failures of all shares together would be counted, too"


def test_a_pod_that_is_alone_and_failed_keeps_no_namespace_from_being_deleted() -> None:
    # Kubernetes keeps a failed pod of a share until it is replaced, and a namespace waits for its pods before it deletes Jobs.
    for mode in ("Build", "Drop"):
        spec = work_job(mode)["spec"]
        assert (spec["backoffLimit"], spec["completions"]) == (jobs.BACKOFF, 1)
        assert "backoffLimitPerIndex" not in spec


def evaluation(question_set: dict[str, Any], *, layout_only: bool = False, **change: Any) -> Manifest:
    rollout = {"evaluation": {"questionSet": question_set, "metric": "Recall@5"}}
    stable, candidate = revision_of(), revision_of(spec_of(embedder={"local": {"dimensions": 32}}, rollout=rollout, **change))
    intent = EvaluationIntent(stable.name, candidate.name, 2, layout_only=layout_only)
    found = built(replace(wanted_of(stable, candidate), evaluation=intent))
    job = found["Job", jobs.evaluation_job_name("handbook", intent)]
    environment = environment_of(job)
    assert environment[contract.ENV_STABLE] == stable.name
    assert environment[contract.ENV_CANDIDATE] == candidate.name
    assert environment[contract.ENV_INDEX] == candidate.index.name
    assert environment[contract.ENV_EVALUATION_ID] == job["metadata"]["name"]
    return job


def test_an_evaluation_asks_the_preview_port_questions_from_a_configmap() -> None:
    job = evaluation({"configMapRef": {"name": "questions", "key": "q.jsonl"}})
    environment = environment_of(job)
    assert environment[contract.ENV_GATEWAY_URL] == "http://handbook-gateway-preview.search.svc:8081"
    assert environment[contract.ENV_METRIC] == "Recall@5"
    assert environment[contract.ENV_QUESTIONS_FILE] == "/questions/q.jsonl"
    volumes = {one["name"]: one for one in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["questions"]["configMap"]["name"] == "questions"
    assert contract.ENV_EVALUATION_EXACT not in environment


def test_questions_may_come_from_a_volume() -> None:
    job = evaluation({"pvc": {"claimName": "sets", "path": "a/q.jsonl"}})
    assert environment_of(job)[contract.ENV_QUESTIONS_FILE] == "/questions/a/q.jsonl"


def test_questions_may_come_from_a_bucket_whose_secret_is_mounted() -> None:
    location = {"bucket": "sets", "prefix": "q.jsonl", "credentialsSecretRef": {"name": "questions-read"}}
    job = evaluation({"s3": location})
    assert json.loads(environment_of(job)[contract.ENV_QUESTIONS_S3]) == location
    assert "/etc/rag/credentials/questions-read" in {one["mountPath"] for one in container_of(job)["volumeMounts"]}


def test_questions_may_be_read_with_the_secret_of_a_source() -> None:
    bucket = {"bucket": "company-docs", "credentialsSecretRef": {"name": "s3-read"}}
    job = evaluation({"s3": {**bucket, "prefix": "q.jsonl"}}, sources=[{"name": "docs", "s3": bucket}])
    paths = [one["mountPath"] for one in container_of(job)["volumeMounts"]]
    assert paths.count("/etc/rag/credentials/s3-read") == 1


def test_a_changed_layout_is_compared_with_exact_search() -> None:
    job = evaluation({"configMapRef": {"name": "questions", "key": "q.jsonl"}}, layout_only=True)
    assert environment_of(job)[contract.ENV_EVALUATION_EXACT] == "1"


def test_names_of_jobs_and_of_their_last_pods_fit_a_label_for_the_longest_pipeline_name() -> None:
    """The API server refuses an Indexed Job whose last pod's host name, `<job>-<index>`, would be no label."""
    longest = "p" * MAX_NAME_LENGTH
    revision = revision_of(spec_of(indexer={"buildParallelism": 64}), pipeline=longest)
    owner = Owner(longest, "search", "6b2f0d4e-0000-4000-8000-000000000001")
    wanted = wanted_of(revision, indexes={revision.index.name: intent(revision, "Build", attempt=100_000)})
    made = [one for (kind, _), one in built(wanted, owner=owner).items() if kind == "Job"]
    hosts = [f"{one['metadata']['name']}-{one['spec']['completions'] - 1}" for one in made]
    assert [len(host) for host in hosts] == [63]
    assert len(f"{evaluation_name(longest)}-0") <= 63


def evaluation_name(pipeline: str) -> str:
    return jobs.evaluation_job_name(pipeline, EvaluationIntent("a" * 10, "b" * 10, 100_000))


def test_a_finished_evaluation_goes_by_itself() -> None:
    assert evaluation({"configMapRef": {"name": "q", "key": "q.jsonl"}})["spec"]["ttlSecondsAfterFinished"] == jobs.EVALUATION_KEPT
    assert "ttlSecondsAfterFinished" not in work_job("Build")["spec"]


def test_another_rollout_of_the_same_two_revisions_asks_again() -> None:
    intent = EvaluationIntent("a" * 10, "b" * 10, 1, began=1.0)
    assert jobs.evaluation_job_name("p", intent) != jobs.evaluation_job_name("p", replace(intent, began=2.0))


def test_a_job_serves_nothing_and_asks_nobody_to_scrape_it() -> None:
    template = work_job("Build")["spec"]["template"]
    assert "ports" not in template["spec"]["containers"][0]
    assert "prometheus.io/scrape" not in template["metadata"]["annotations"]


def test_a_drop_starts_also_when_what_the_sources_need_is_gone() -> None:
    sources = [
        {"name": "docs", "s3": {"bucket": "company-docs", "credentialsSecretRef": {"name": "s3-read"}}},
        {"name": "disk", "pvc": {"claimName": "disk"}},
    ]
    external = {"address": "milvus.example:19530", "credentialsSecretRef": {"name": "milvus"}}
    change = {"sources": sources, "vectorStore": {"milvus": {"standalone": None, "external": external}}}
    mounted = {mode: json.dumps(work_job(mode, **change)["spec"]["template"]["spec"]["volumes"]) for mode in ("Build", "Drop")}
    assert all(name in mounted["Build"] for name in ("s3-read", "disk", "milvus"))
    assert "milvus" in mounted["Drop"]
    assert not any(name in mounted["Drop"] for name in ("s3-read", "disk"))
