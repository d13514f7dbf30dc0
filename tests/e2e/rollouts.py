"""A pipeline over Cranfield in the real cluster, for tests that change its model under load."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.full import Cluster
from cluster.network import NODE_ADDRESS
from cluster.processes import wait_until
from cluster.tools import binary
from demo import corpus
from demo.pipeline import EXAMPLE, Model
from demo.place import answers as answers_at
from demo.place import witness_service
from demo.traffic import RETRIEVE, Traffic
from e2e.namespaces import Namespace, has_service_account

ROOT = Path(__file__).parents[2]
NAME = "handbook"
DOCUMENTS = None if os.environ.get("RAG_CAMPAIGN") else 300
SMALL = {"resources": {"requests": {"cpu": "20m"}}}
PATIENCE = 900  # seconds for one change of the model on a busy machine


@dataclass(frozen=True)
class Library:
    """The pipeline, its bucket and its clients."""

    namespace: Namespace
    bucket: str

    @property
    def source(self) -> RolloutBucket:
        """The bucket, as this machine reaches it."""
        return RolloutBucket(f"http://{NODE_ADDRESS}:30900", self.bucket)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.namespace.get("ragpipeline", NAME).get("status") or {}
        return found

    def role(self, role: str) -> str:
        return str((self.status().get(role) or {}).get("revision", ""))

    def index(self, role: str) -> dict[str, Any]:
        """The RAGIndex of the revision in this role."""
        return self.namespace.get("ragindex", self.status()[role]["index"])

    def candidate(self) -> dict[str, Any]:
        """What the status says of the candidate; nothing while there is none."""
        found: dict[str, Any] = self.status().get("candidate") or {}
        return found

    def waits(self) -> bool:
        """Whether a candidate waits for somebody's approval."""
        return bool(self.candidate().get("waitingFor"))

    def decisions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.status().get("decisions") or []
        return found

    def apply(self, model: Model, **policy: Any) -> None:
        self.namespace.apply(pipeline(self, model, policy))

    def until(self, what: str, probe: Callable[[], bool], seconds: float = PATIENCE) -> None:
        wait_until(probe, seconds, what, 0.5)

    def until_decided(self, outcome: str, count: int) -> dict[str, Any]:
        """Wait for the next decision, which must be this outcome, and return it."""
        self.until(f"decision {count}", lambda: len(self.decisions()) >= count)
        last = self.decisions()[0]
        assert last["outcome"] == outcome, json.dumps(last, indent=1)
        return last

    def rag(self, *arguments: str) -> str:
        """Run `kubectl rag`."""
        command = [sys.executable, "-m", "rag_operator.cli.main", "--namespace", self.namespace.name, *arguments]
        environment = {**os.environ, "KUBECONFIG": str(self.namespace.cluster.kubeconfig), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def until_answering(self) -> None:
        """Wait for the first revision to serve, and for its answers to come through the node port."""
        self.until("the first revision to serve", lambda: self.status().get("phase") == "Ready")
        self.until("the first answer", lambda: asyncio.run(answers(self.load(1))))

    def until_answered_by_stable(self, traffic: Traffic) -> None:
        """Wait until twenty answers in a row are whole and come from the stable revision."""
        seen = len(traffic.answers)

        def answered() -> bool:
            stable, late = self.role("stable"), traffic.answers[seen + 20 :][-20:]
            return len(late) == 20 and all(answer.status == httpx.codes.OK and answer.revision == stable for answer in late)

        self.until("answers by the stable revision", answered, 120)

    def under_load(self, story: Callable[[Traffic], None], clients: int = 8, path: str = RETRIEVE) -> Traffic:
        """Tell a story to its end while clients ask all the time, and return what they were answered."""

        async def asked() -> Traffic:
            async with self.load(clients, path) as traffic:
                await asyncio.to_thread(story, traffic)
            return traffic

        return asyncio.run(asked())

    def load(self, clients: int = 8, path: str = RETRIEVE) -> Traffic:
        """Clients of the public port, and witnesses at the preview port."""
        self.namespace.apply(witness_service(self.namespace.name, NAME))
        texts = [question.text for question in questions()]
        preview = self._url(f"{NAME}-witness")
        self.until("the preview port to answer", lambda: answers_at(preview), 60)
        return Traffic(self._url(f"{NAME}-gateway"), texts, preview, clients=clients, pause=0.1, path=path)

    def _url(self, service: str) -> str:
        ports = self.namespace.get("service", service)["spec"]["ports"]
        return f"http://{NODE_ADDRESS}:{next(port['nodePort'] for port in ports if port['name'] == 'http')}"

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Print what helps to understand a failure: before the namespace goes away."""
        try:
            yield
        except BaseException:
            what = "ragpipelines,ragindexes,pods,jobs,hpa,events"
            print(self.rag("status", NAME), self.namespace.kubectl("get", what))
            print(self.namespace.kubectl("logs", "-l", "app.kubernetes.io/name=rag-operator", "--tail=200", "--prefix"))
            raise


async def answers(traffic: Traffic) -> bool:
    """Whether the next few questions are all answered."""
    async with traffic:
        await asyncio.sleep(1)  # how long is asked
    return bool(traffic.answers) and not traffic.summary().failed


def questions() -> list[corpus.Question]:
    known = {f"{corpus.SOURCE}/{key}" for key, _ in corpus.documents(DOCUMENTS)} if DOCUMENTS else None
    return corpus.questions(known)


def pipeline(library: Library, model: Model, policy: dict[str, Any]) -> dict[str, Any]:
    """The demo's pipeline with this model, this bucket, and no more resources than a test needs."""
    document: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    document["metadata"] = {"name": NAME}
    spec = document["spec"]
    spec["sources"][0]["s3"] |= {"bucket": library.bucket}
    local = spec["embedder"]["local"]
    local["dimensions"] = model.dimensions
    local["model"]["name"] = model.name
    local["pod"]["resources"]["requests"]["cpu"] = "50m"  # so that the node has room for several tests, also while HPAs scale up
    local["model"]["source"]["image"] = {"reference": library.namespace.cluster.image("models"), "path": model.path}
    spec["gateway"] |= {"pod": SMALL}
    spec["indexer"] = {"pod": SMALL}
    rollout = spec["rollout"] | {"progressDeadline": "15m", **policy}
    spec["rollout"] = {name: value for name, value in rollout.items() if value is not None}
    return document


def of_fixed_size(document: dict[str, Any]) -> dict[str, Any]:
    """The pipeline without an autoscaler, which may start more pods for a build: they come and go with the spec alone."""
    del document["spec"]["embedder"]["local"]["autoscaling"]
    return document


@contextmanager
def fresh_namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace for a whole module of tests."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    wait_until(lambda: has_service_account(cluster, name), 120, f"the default service account of {name}")
    try:
        yield Namespace(name, cluster)
    finally:
        cluster.kubectl("delete", "namespace", "--wait=false", name)


@contextmanager
def library(namespace: Namespace) -> Iterator[Library]:
    """A bucket with documents, the questions, and an operator that looks after the namespace."""
    found = Library(namespace, f"rollout-{uuid.uuid4().hex[:8]}")
    found.source.fill()
    secret = {"accessKeyId": corpus.ACCESS_KEY, "secretAccessKey": corpus.SECRET_KEY}
    namespace.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-read"}, "stringData": secret},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "cranfield-questions"},
            "data": {"questions.jsonl": corpus.question_set(questions())},
        },
    )
    with operator(namespace):
        yield found


@dataclass(frozen=True)
class RolloutBucket:
    """A bucket of this test alone, so that it can change documents while others run."""

    endpoint: str
    name: str

    def fill(self) -> None:
        authorization = f"AWS4-HMAC-SHA256 Credential={corpus.ACCESS_KEY}/20260101/us-east-1/s3/aws4_request"
        reply = httpx.put(f"{self.endpoint}/{self.name}", trust_env=False, timeout=30, headers={"authorization": authorization})
        reply.raise_for_status()
        for key, text in corpus.documents(DOCUMENTS):
            self.put(key, text)

    def put(self, key: str, text: str) -> None:
        import obstore

        obstore.put(self._store(), corpus.PREFIX + key, text.encode())

    def delete(self, key: str) -> None:
        import obstore

        obstore.delete(self._store(), corpus.PREFIX + key)

    def _store(self) -> Any:
        from obstore.store import S3Store

        return S3Store(
            self.name,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=corpus.ACCESS_KEY,
            secret_access_key=corpus.SECRET_KEY,
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )


@contextmanager
def operator(namespace: Namespace) -> Iterator[None]:
    """The operator for this namespace: the one that looks after the whole cluster, if there is one, or one of its own."""
    cluster = namespace.cluster
    if watches_everything(cluster):
        yield
        return
    repository, _, tag = cluster.image("operator").rpartition(":")
    images = {kind: cluster.image(kind) for kind in ("embedder", "gateway", "indexer", "milvus")}
    values = {
        "watch": {"namespaces": [namespace.name]},
        "crds": {"install": False},
        "image": {"repository": repository, "tag": tag},
        "dataPlane": {"images": images},
        "resources": {"requests": {"cpu": "50m"}},
    }
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    helm(namespace, "install", "rag", str(ROOT / "charts/rag-operator"), "--values=-", values=values)
    namespace.kubectl("rollout", "status", "deployment/rag", "--timeout=180s", timeout=200)
    try:
        yield
    finally:
        namespace.kubectl("delete", "ragpipelines", "--all", "--wait=true", timeout=600)
        helm(namespace, "uninstall", "rag")


def watches_everything(cluster: Cluster) -> bool:
    listed = json.loads(cluster.kubectl("get", "deployments", "-A", "-l", "app.kubernetes.io/name=rag-operator", "-o", "json"))
    return any("--namespaces" not in json.dumps(item["spec"]) and not limited(item) for item in listed["items"])


def limited(deployment: dict[str, Any]) -> bool:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return any(
        variable["name"] == "RAG_OPERATOR_NAMESPACES" and variable.get("value") for one in containers for variable in one.get("env", ())
    )


def helm(namespace: Namespace, *arguments: str, values: dict[str, Any] | None = None) -> None:
    command = [str(binary("helm")), f"--kubeconfig={namespace.cluster.kubeconfig}", f"--namespace={namespace.name}", *arguments]
    given = yaml.safe_dump(values) if values is not None else None
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
