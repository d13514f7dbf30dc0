"""What a look brings together of what a spec refers to; a server's answers are given by hand."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.manifests import OWNER, revision_of, spec_of
from rag_operator.controller.mirror import Key, Mirror
from rag_operator.controller.observe import Capabilities, Observer, Seen
from rag_operator.controller.pods import Trouble
from rag_operator.controller.scrape import unreachable
from rag_operator.kube.resources import INDEXES, JOBS, Resource
from rag_operator.model.validated import References
from rag_operator.rollout.identity import declared_index
from rag_operator.settings import RUNTIMES, VERSION

KEY = Key(OWNER.namespace, OWNER.name)
OTHER_MODEL = {"name": "other", "revision": "1", "source": {"image": {"reference": "ragops.dev/models:0.1"}}}
ENDPOINT = {"url": "https://m.example/v1", "model": "minilm", "revision": "1", "dimensions": 384}


class Server:
    """Objects by plural and name."""

    def __init__(self, **objects: dict[str, Any]) -> None:
        self._objects = objects

    async def get(self, resource: Resource, _: str | None, name: str) -> dict[str, Any] | None:
        return self._objects.get(resource.plural, {}).get(name)

    async def list(self, resource: Resource, _: str | None, *, fields: str) -> list[dict[str, Any]]:
        return [body for body in self._objects.get(resource.plural, {}).values() if f"involvedObject.uid={body['of']}," in fields]


def index(limit: int | None, name: str = "handbook-index-1", owner: str = OWNER.uid, **change: Any) -> dict[str, Any]:
    """A RAGIndex of the smallest spec, changed, whose embedder reported a limit."""
    observed = {"observed": {"modelTokenLimit": limit}} if limit is not None else {}
    meta = {
        "name": name,
        "namespace": OWNER.namespace,
        "uid": name,
        "resourceVersion": "7",
        "labels": {"ragops.dev/pipeline": OWNER.name},
        "ownerReferences": [{"uid": owner, "controller": True}],
    }
    identity = declared_index(revision_of(spec_of(**change)).spec).to_wire()
    return {"metadata": meta, "spec": {"identity": identity}, "status": observed}


async def referred(*indexes: dict[str, Any], maps: dict[str, Any] | None = None, claims: Any = (), **change: Any) -> References:
    """What a pass over the smallest spec, changed, knows of its references."""
    mirror = Mirror()
    for body in indexes:
        mirror.put(INDEXES, body)
    return (await looked(mirror, maps=maps, claims=claims, **change)).references


async def looked(mirror: Mirror, *, maps: dict[str, Any] | None = None, claims: Any = (), events: Any = None, **change: Any) -> Seen:
    """What a pass over the smallest spec, changed, sees."""
    meta = {"name": OWNER.name, "namespace": OWNER.namespace, "uid": OWNER.uid, "generation": 1, "resourceVersion": "1"}
    pipeline = {"metadata": meta, "spec": spec_of(**change).to_wire()}
    there = {name: {"metadata": {}} for name in claims}
    server: Any = Server(ragpipelines={OWNER.name: pipeline}, configmaps=maps or {}, persistentvolumeclaims=there, events=events or {})
    seen = await Observer(server, mirror, unreachable).look(KEY, Capabilities(milvus_operator=True))
    assert seen is not None
    return seen


@pytest.mark.parametrize(
    ("told", "indexes", "change", "limit"),
    [
        ("nobody looked yet", (), {}, None),
        ("an index that reported nothing yet", (index(None),), {}, None),
        ("the limit that the wanted index reported", (index(256),), {}, 256),
        ("the limit of a model that another index of it reported", (index(256, documents={"chunking": {"maxTokens": 100}}),), {}, 256),
        ("nothing that an index of another model reported", (index(256),), {"embedder": {"local": {"model": OTHER_MODEL}}}, None),
        ("nothing that an index of somebody else reported", (index(256, owner="somebody"),), {}, None),
        ("the larger one of two that differ", (index(256), index(512, "handbook-index-2")), {}, 512),
        ("an endpoint's limit is for the spec to say", (index(256),), {"embedder": {"local": None, "external": ENDPOINT}}, None),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
async def test_the_limit_of_the_wanted_model_is_what_indexers_were_told(
    told: str, indexes: tuple[dict[str, Any], ...], change: dict[str, Any], limit: int | None
) -> None:
    assert (await referred(*indexes, **change)).token_limit == limit, told


async def test_versions_that_the_operator_knows_hold_its_own_and_every_earlier_one() -> None:
    known = (await referred()).runtimes
    assert known == frozenset(RUNTIMES)
    assert RUNTIMES[-1] == VERSION
    assert "0.1" in known, "a pipeline that was made by the first version is refused"


async def test_what_is_there_is_told_apart_from_what_is_missing() -> None:
    sources = [{"name": "notes", "configMap": {"name": "notes"}}, {"name": "gone", "configMap": {"name": "gone"}}]
    files = [{"name": "files", "pvc": {"claimName": "files"}}, {"name": "lost", "pvc": {"claimName": "lost"}}]
    found = await referred(maps={"notes": {"data": {"a": "b"}}}, claims=("files",), sources=[*sources, *files])
    assert found.config_maps == {"notes": {"a": "b"}}
    assert found.claims == {"files"}
    assert found.milvus_operator is True


@pytest.mark.parametrize(
    ("status", "told"), [({}, True), ({"active": 1}, False), ({"conditions": [{"type": "Failed", "status": "True"}]}, False)]
)
async def test_why_a_job_has_no_pod_is_asked_of_its_events(status: dict[str, Any], *, told: bool) -> None:
    job = {**index(None), "status": status}
    mirror = Mirror()
    mirror.put(JOBS, {**job, "metadata": {**job["metadata"], "name": "build", "uid": "job"}})
    said = 'Error creating: pods "build-0-x7rpl" is forbidden: exceeded quota: team'
    events = {"e": {"of": "job", "reason": "FailedCreate", "message": said}}
    expected = (Trouble("FailedCreate", said.replace("-x7rpl", ""), "build"),) if told else ()
    assert (await looked(mirror, events=events)).slow == expected
