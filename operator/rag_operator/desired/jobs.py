"""Jobs: build, copy, drop, evaluate. They are created once, named by attempt, and never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from rag_operator import names
from rag_operator.api.v1alpha1.index_status import Work
from rag_operator.api.v1alpha1.rollout import Evaluation, QuestionSet
from rag_operator.desired import addresses, credentials
from rag_operator.desired.context import Manifest
from rag_operator.desired.indexer import KIND, Indexing
from rag_operator.desired.meta import metadata
from rag_operator.desired.pods import Volume
from rag_operator.model.plan import EvaluationIntent
from rag_runtime.contracts import pods as contract

BACKOFF = 6  # times that a share of a Job may fail
# Exit codes of the indexer that another attempt does not mend: the configuration is wrong, or the data are somebody else's.
HOPELESS = (2, 3)
EVALUATION_KEPT = 24 * 3600  # seconds
_WORKS = {"Build": "build", "Copy": "copy", "Drop": "drop"}


def work_job_name(index: str, work: Work) -> str | None:
    """The Job that does a piece of work, or `None` where the syncer does it."""
    command = _WORKS.get(work.mode)
    return f"{index}-{command}-{work.attempt}" if command else None


def evaluation_job_name(pipeline: str, intent: EvaluationIntent) -> str:
    """The Job of an evaluation, which is also the id of its result."""
    pair = hashlib.sha256(f"{intent.stable}/{intent.candidate}/{intent.began}".encode()).hexdigest()
    return f"{pipeline}-evaluation-{pair[: names.HASH_LENGTH]}-{intent.attempt}"


def work_job(indexing: Indexing, index: str, work: Work) -> Manifest | None:
    """The Job for what an index is to do; `None` where the syncer does it."""
    name = work_job_name(index, work)
    if name is None:
        return None
    pods = indexing.build_parallelism if work.mode == "Build" else 1
    environment = {contract.ENV_INDEX: index, contract.ENV_BUILD_PARALLELISM: str(pods)}
    template = indexing.template(_WORKS[work.mode], index, environment, once=True, store_only=work.mode == "Drop")
    return _job(indexing, name, KIND, index, template, pods=pods)


def evaluation_job(indexing: Indexing, index: str, intent: EvaluationIntent, settings: Evaluation | None) -> Manifest | None:
    """The Job that asks both revisions the held-out questions through the preview port."""
    if settings is None:
        return None
    name = evaluation_job_name(indexing.owner.name, intent)
    environment = {
        contract.ENV_INDEX: index,
        contract.ENV_EVALUATION_ID: name,
        contract.ENV_GATEWAY_URL: addresses.preview_url(indexing.owner),
        contract.ENV_STABLE: intent.stable,
        contract.ENV_CANDIDATE: intent.candidate,
        contract.ENV_METRIC: settings.metric,
        **({contract.ENV_EVALUATION_EXACT: "1"} if intent.layout_only else {}),
        **_questions_environment(settings.question_set),
    }
    extra, secrets = _questions_volumes(settings.question_set), _questions_secrets(settings.question_set)
    template = indexing.template("evaluate", None, environment, kind=names.KIND_EVALUATION, extra=extra, secrets=secrets, once=True)
    job = _job(indexing, name, names.KIND_EVALUATION, None, template, pods=1)
    # Its numbers are in status; its log is for people, for as long as they may ask.
    return {**job, "spec": {**job["spec"], "ttlSecondsAfterFinished": EVALUATION_KEPT}}


def _questions_environment(questions: QuestionSet) -> Mapping[str, str]:
    if questions.s3 is not None:
        return {contract.ENV_QUESTIONS_S3: json.dumps(questions.s3.to_wire(), sort_keys=True)}
    path = questions.config_map_ref.key if questions.config_map_ref is not None else questions.pvc.path if questions.pvc else ""
    return {contract.ENV_QUESTIONS_FILE: f"{contract.QUESTIONS_DIR}/{path}"}


def _questions_volumes(questions: QuestionSet) -> list[Volume]:
    if questions.config_map_ref is not None:
        reference = questions.config_map_ref
        source = {"configMap": {"name": reference.name, "items": [{"key": reference.key, "path": reference.key}]}}
        return [Volume("questions", source, contract.QUESTIONS_DIR, read_only=True)]
    if questions.pvc is not None:
        claim = {"persistentVolumeClaim": {"claimName": questions.pvc.claim_name, "readOnly": True}}
        return [Volume("questions", claim, contract.QUESTIONS_DIR, read_only=True)]
    return []


def _questions_secrets(questions: QuestionSet) -> list[credentials.Part]:
    # Mounted with all the others: it may be the Secret of a source, and no path can be mounted twice.
    return credentials.whole(questions.s3.credentials_secret_ref if questions.s3 is not None else None)


def _job(indexing: Indexing, name: str, kind: str, component: str | None, template: Manifest, *, pods: int) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(indexing.owner, name, kind, component),
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            **_retries(pods),
            # A new pod only when the old one has really ended: no part of an index ever has two writers.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": template,
        },
    }


def _retries(pods: int) -> Manifest:
    if pods == 1:
        # Where failures are counted by share, a failed pod stays until another takes its place, and with it a namespace that is being
        # deleted, until the operator deletes the Job (controller/leaving.py): which it cannot if it goes with the namespace.
        return {"backoffLimit": BACKOFF}
    # By share, and so are the pauses between attempts: counted together they double with every pod, ignored or not, and a node that is
    # drained of eight would hold the build up for ten minutes.
    return {"backoffLimitPerIndex": BACKOFF, "maxFailedIndexes": 0}


def _failure_rules() -> list[Manifest]:
    return [
        # A drained or preempted node is nobody's failure.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": KIND, "operator": "In", "values": list(HOPELESS)}},
    ]
