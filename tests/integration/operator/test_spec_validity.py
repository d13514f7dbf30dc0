"""What only the operator can judge: it is said in SpecValid, with field, value and what is allowed, and unsaid when it is mended.

Secrets are not among it: the operator reads none, so one that is missing is told by the kubelet (FailedMount), in its words.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.api_only import ApiServer
from integration.operator.replica import Nursery
from integration.operator.scenario import MINIMAL, Scenario, scenario
from rag_operator.kube.resources import INDEXES

QUESTIONS = {"evaluation": {"questionSet": {"configMapRef": {"name": "questions", "key": "questions.jsonl"}}}}
GENERATOR = {"external": {"url": "https://m.example/v1", "model": "g"}}
PROMPT = {**GENERATOR, "prompt": {"templateConfigMapRef": {"name": "prompts", "key": "template"}}}
ON_A_VOLUME = {"name": "acme/small", "revision": "1", "source": {"pvc": {"claimName": "models"}}}
IN_AN_IMAGE = {"source": {"pvc": None, "image": {"reference": "models:1", "path": "small"}}}
TEAM = {"metadata": [{"name": "team", "from": {"pathPattern": "^([a-)/"}}]}


def sources(more: dict[str, Any]) -> dict[str, Any]:
    """The smallest spec's source, and another one."""
    return {"sources": [*MINIMAL["sources"], {"name": "more", **more}]}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True)
class Case:
    """A mistake, what is said of it, and how it is mended: by a change of the spec, or by an object that was missing."""

    name: str
    mistake: Mapping[str, Any]
    reason: str
    says: tuple[str, ...]  # field, value, what is allowed
    mended: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] | None = None


CASES: dict[str, Case] = {
    "a ConfigMap of documents that is missing": Case(
        "documents",
        sources({"configMap": {"name": "notes"}}),
        "ReferenceNotFound",
        ("spec.sources[1].configMap.name: 'notes'", "names no ConfigMap in the pipeline's namespace: create it, or name one that exists"),
        made=config_map("notes", a="b"),
    ),
    "a question set under a key that its ConfigMap lacks": Case(
        "questions",
        {"rollout": {**MINIMAL["rollout"], **QUESTIONS}},
        "ReferenceNotFound",
        ("spec.rollout.evaluation.questionSet.configMapRef.key: 'questions.jsonl'", "it has other"),
        mended={"rollout": {"evaluation": {"questionSet": {"configMapRef": {"key": "other"}}}}},
    ),
    "a prompt template that is missing": Case(
        "prompt",
        {"generator": PROMPT},
        "ReferenceNotFound",
        ("spec.generator.prompt.templateConfigMapRef.name: 'prompts'", "names no ConfigMap"),
        mended={"generator": {"prompt": {"templateConfigMapRef": None}}},
    ),
    "a volume of documents that is missing": Case(
        "volume",
        sources({"pvc": {"claimName": "files"}}),
        "ReferenceNotFound",
        ("spec.sources[1].pvc.claimName: 'files'", "names no PersistentVolumeClaim in the pipeline's namespace"),
        made=claim("files"),
    ),
    "a volume of weights that is missing": Case(
        "weights",
        {"embedder": {"local": {"model": ON_A_VOLUME, "dimensions": 384}}},
        "ReferenceNotFound",
        ("spec.embedder.local.model.source.pvc.claimName: 'models'", "names no PersistentVolumeClaim"),
        mended={"embedder": {"local": {"model": IN_AN_IMAGE}}},
    ),
    "a version of the runtime that this operator does not know": Case(
        "runtime",
        {"runtime": {"version": "9.9"}},
        "Unsupported",
        ("spec.runtime.version: '9.9'", "it knows 0.1"),
        mended={"runtime": {"version": "0.1"}},
    ),
    "a path pattern that is no regular expression": Case(
        "pattern",
        {"documents": TEAM},
        "InvalidSpec",
        ("spec.documents.metadata[0].from.pathPattern: '^([a-)/'", "must be a regular expression"),
        mended={"documents": {"metadata": [{"name": "team", "from": {"pathPattern": "^([a-z]+)/"}}]}},
    ),
    "a Milvus cluster where no operator for it is installed": Case(
        "cluster",
        {"vectorStore": {"milvus": {"cluster": {}}}},
        "Unsupported",
        ("spec.vectorStore.milvus.cluster", "install it, or use standalone or external"),
    ),
}


def said(body: Mapping[str, Any], kind: str = "SpecValid") -> dict[str, Any]:
    """One condition for the present generation; empty until it is said."""
    status = body.get("status") or {}
    current = status.get("observedGeneration") == body["metadata"]["generation"]
    return next((one for one in status.get("conditions") or () if one["type"] == kind), {}) if current else {}


async def judged(found: Scenario, name: str, status: str) -> dict[str, Any]:
    """Wait until the operator has said whether the spec can be used."""
    async with asyncio.timeout(40):
        while True:
            body = await found.pipeline(name)
            if said(body).get("status") == status:
                return body
            await asyncio.sleep(0.1)


async def judge(found: Scenario, case: Case) -> list[str]:
    """What is not as it should be, of one case."""
    await found.create({**copy.deepcopy(MINIMAL), **case.mistake}, case.name)
    condition = said(await judged(found, case.name, "False"))
    wrong = [text for text in (case.reason, *case.says) if text not in f"{condition['reason']} {condition['message']}"]
    children = [key for key, body in (await found.children()).items() if body["metadata"]["labels"]["ragops.dev/pipeline"] == case.name]
    wrong += [f"made all the same: {key}" for key in children]
    if case.made is not None:
        await found.client.create(_in(found.namespace, case.made))
    if case.mended:
        await found.change(case.mended, case.name)
    if case.made is not None or case.mended:
        await judged(found, case.name, "True")
    return [f"{text!r} is not in {condition}" for text in wrong]


@pytest.mark.timeout(300)
async def test_what_only_the_operator_can_judge_is_told_and_untold(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        found.world.paused = True  # nobody has to become ready
        await found.client.create(_in(namespace, config_map("questions", other="")))
        await found.start()
        answers = await asyncio.gather(*(judge(found, case) for case in CASES.values()))
        assert {told: wrong for told, wrong in zip(CASES, answers, strict=True) if wrong} == {}


@pytest.mark.timeout(300)
async def test_a_chunk_that_is_longer_than_the_model_takes_is_told_while_what_was_right_goes_on_answering(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.start()
        await found.create()
        before = (await found.ready())["status"]["stable"]
        (index,) = await found.client.list(INDEXES, namespace)
        await found.report(INDEXES, index["metadata"]["name"], {"observed": {"modelTokenLimit": 256}})
        await found.change({"documents": {"chunking": {"maxTokens": 400, "overlapTokens": 32}}})
        body = await judged(found, "handbook", "False")
        condition = said(body)
        assert condition["reason"] == "ChunkTooLong"
        assert "spec.documents.chunking.maxTokens: '400'" in condition["message"]
        assert "at most 256" in condition["message"]
        assert said(body, "Ready")["status"] == "True"
        assert body["status"]["stable"]["revision"] == before["revision"]
        await found.change({"documents": {"chunking": {"maxTokens": 240}}})
        await judged(found, "handbook", "True")
        assert len(await found.client.list(INDEXES, namespace)) == 1


@pytest.mark.timeout(300)
async def test_what_was_already_applied_of_a_spec_stays_when_it_cannot_be_used_any_more(
    api: ApiServer, nursery: Nursery, tmp_path: Path, namespace: str
) -> None:
    more = {**sources({"configMap": {"name": "notes"}}), "gateway": {"replicas": 3, "auth": {"apiKeysSecretRef": {"name": "keys"}}}}
    async with scenario(api, nursery, tmp_path, namespace) as found:
        await found.client.create(_in(namespace, config_map("notes", a="b")))
        await found.start()
        await found.create()
        await found.ready()
        found.world.building = False  # what is wanted now stays a candidate: stable's own record knows none of it
        await found.change({**more, "embedder": {"local": {"model": {"revision": "2"}}}})
        await found.until("rolling out", lambda body: (body.get("status") or {}).get("phase") == "RollingOut")
        before = await applied(found)
        assert {replicas for _, replicas, _ in before.values() if replicas} == {1, 3}
        await found.change(sources({"configMap": {"name": "mistyped"}}))
        await judged(found, "handbook", "False")
        await found.until("settled", lambda body: said(body).get("status") == "False")
        assert await applied(found) == before


async def applied(found: Scenario) -> dict[tuple[str, str], tuple[int, Any, Any]]:
    """Of every child that has one: generation, replicas, sources."""
    children = await found.children()
    return {
        name: (body["metadata"]["generation"], body["spec"].get("replicas"), body["spec"].get("sources"))
        for name, body in children.items()
        if "generation" in body["metadata"] and "spec" in body
    }


def _in(namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
