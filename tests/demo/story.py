"""The chapters of the demo. Each can be run again on its own: it looks at what is there first."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx

from demo import corpus, quality
from demo.pipeline import EXAMPLE, MINILM, SHORT, STATIC, Model, Pipeline, manifest
from demo.place import NAMESPACE, PIPELINE, SYSTEM, Place, gateway_url, preview_url
from demo.terminal import CommandError, Terminal, wait_for
from demo.traffic import Summary, Traffic

CHART = "charts/rag-operator"
REPOSITORY = Path(__file__).parents[2]
QUESTION = "what similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft ."
NEW_KEY = "field-notes.md"
NEW_TEXT = "# Field notes\n\nThe zeppelin hangar at Friedrichshafen was ventilated by forty-two copper louvres turned by hand."
NEW_QUESTION = "how was the zeppelin hangar in friedrichshafen ventilated"


@dataclass
class Story:
    """State between chapters: where it runs, what was measured."""

    terminal: Terminal
    place: Place
    documents: int | None = None  # how many of Cranfield's; None: all
    figures: dict[str, str] = field(default_factory=dict)
    traffic_totals: list[Summary] = field(default_factory=list)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline as the cluster shows it."""
        return Pipeline(self.terminal)

    def kubectl(self, arguments: str, **more: object) -> str:
        """`kubectl -n demo ...`, shown."""
        return self.terminal.run(f"kubectl -n {NAMESPACE} {arguments}", **more)  # type: ignore[arg-type]

    # ---------------------------------------------------------------- chapters
    def install(self) -> None:
        """The chart, with its operator of two replicas."""
        values, more = os.environ.get("DEMO_HELM_VALUES", "tests/demo/values.yaml"), os.environ.get("DEMO_HELM_ARGUMENTS", "")
        self.terminal.run(
            f"cd {shlex.quote(str(REPOSITORY))} && helm upgrade --install rag-operator {CHART} --namespace {SYSTEM} --create-namespace "
            f"--values {values} {more} --wait --timeout 180s"
        )
        self.terminal.run(f"kubectl -n {SYSTEM} get pods")

    def fill_bucket(self) -> None:
        """Documents into S3, questions into a ConfigMap."""
        bucket = corpus.Bucket(self.place.s3_outside)
        bucket.create()
        count = bucket.upload(corpus.documents(self.documents))
        self.terminal.result(f"{count} documents in s3://{corpus.BUCKET}/{corpus.PREFIX}")
        self.terminal.run(f"kubectl create namespace {NAMESPACE} --dry-run=client -o yaml | kubectl apply -f -", show=False)
        self._secret()
        self._questions()

    def first_revision(self) -> None:
        """Apply the pipeline, watch the index being built, wait until it is Ready."""
        self._begin_anew()
        begun = time.monotonic()
        self._apply(STATIC)
        with self.terminal.watching(["kubectl", "-n", NAMESPACE, "get", "ragp", PIPELINE, "-w"]):
            wait_for("the pipeline Ready", self.pipeline.ready, timeout=600)
        url = gateway_url(self.terminal)
        # A node's proxy learns a moment later than everybody else which pods are ready.
        wait_for("an answer at the node's port", lambda: _answers(url), timeout=30)
        self.figures["first apply to Ready"] = f"{time.monotonic() - begun:.1f} s"
        self.kubectl("get ragp,ragi,deployments,statefulsets,hpa")
        self._build_figures("static model")
        self.figures["nDCG@10, static model"] = f"{self._ndcg():.3f}"

    def questions(self) -> None:
        """By curl, by an OpenAI client library, by kubectl."""
        url = gateway_url(self.terminal)
        body = json.dumps({"query": QUESTION, "k": 3, "groupBy": "document"})
        self.terminal.run(f"curl -sS {url}/v1/retrieve -H 'content-type: application/json' -d {shlex.quote(body)} | head -c 1200")
        self._ask_by_openai(url)
        self.terminal.run(f"kubectl rag -n {NAMESPACE} ask {PIPELINE} {shlex.quote(QUESTION)} --url {url}")

    def freshness(self) -> None:
        """A document added in S3 is found; deleted, it is gone."""
        url = gateway_url(self.terminal)
        bucket = corpus.Bucket(self.place.s3_outside)
        begun = time.monotonic()
        bucket.put(NEW_KEY, NEW_TEXT)
        wait_for("the new document is found", lambda: _finds(url, NEW_QUESTION, NEW_KEY), timeout=90)
        self.figures["document added to found (interval 10 s)"] = f"{time.monotonic() - begun:.1f} s"
        begun = time.monotonic()
        bucket.delete(NEW_KEY)
        wait_for("the deleted document is gone", lambda: not _finds(url, NEW_QUESTION, NEW_KEY), timeout=90)
        self.figures["document deleted to gone"] = f"{time.monotonic() - begun:.1f} s"
        for name in list(self.figures)[-2:]:
            self.terminal.result(f"{name}: {self.figures[name]}")

    def autoscaling(self) -> None:
        """Load raises the queue; the HPA adds embedders, then takes them away."""
        embedder = str((self.pipeline.status().get("stable") or {})["embedder"])
        before = self.pipeline.embedder_replicas(embedder)
        asyncio.run(self._scale_out(embedder, before))
        self.kubectl(f"describe hpa {embedder} | tail -12")
        begun = time.monotonic()
        wait_for("the embedder scaled back", lambda: self.pipeline.embedder_replicas(embedder) <= before, timeout=180)
        self.figures["load gone to embedders taken away"] = f"{time.monotonic() - begun:.1f} s"

    def better_model(self) -> None:
        """Static to MiniLM, with traffic: build, gate, canary, promote."""
        begun = time.monotonic()
        asyncio.run(self._rollout(MINILM, "Promoted", timeout=900))
        self.figures["model change to promoted"] = f"{time.monotonic() - begun:.1f} s"
        self._build_figures("MiniLM")
        self.figures["nDCG@10, MiniLM"] = f"{self._ndcg():.3f}"

    def worse_model(self) -> None:
        """MiniLM cut to 32 dimensions: the gate fails, the rollout is aborted, no question was answered by it."""
        asyncio.run(self._rollout(SHORT, "Aborted", timeout=900))
        self.kubectl(f"get ragp {PIPELINE}")
        decision = self.pipeline.last_decision()
        self.terminal.result(f"aborted: {decision.get('message', '')}")
        self._apply(MINILM)
        wait_for("the pipeline Ready again", self.pipeline.ready, timeout=120)

    def rollback(self) -> None:
        """Back to the retired revision by one command."""
        asyncio.run(self._roll_back())

    # ---------------------------------------------------------------- parts
    def _begin_anew(self) -> None:
        """Take away what a run that was cut off left at another model: from there the first one would be a worse one, and be refused."""
        status = self.pipeline.status()
        serves = str((status.get("stable") or {}).get("embeddingModel", ""))
        if not status or (serves.startswith(f"{STATIC.name}@") and not status.get("candidate")):
            return
        self.terminal.say(f"an earlier run stopped on its way, at {serves or 'its first revision'}: begin anew")
        self.kubectl(f"delete ragp {PIPELINE} --timeout=180s")

    def _apply(self, model: Model) -> None:
        self.terminal.say(f"embedding model: {model.title}")
        command = f"kubectl -n {NAMESPACE} apply -f {EXAMPLE.relative_to(REPOSITORY)}"
        if model is not STATIC:
            command += f"   # with name: {model.name}, path: {model.path}, dimensions: {model.dimensions}"
        self.terminal.console.print(f"   [bold]$ {command}[/]")
        self.terminal.output(
            self.terminal.run(f"kubectl -n {NAMESPACE} apply -f -", stdin=manifest(model, self.place.s3_inside), show=False)
        )

    def _secret(self) -> None:
        self.kubectl(
            f"create secret generic s3-read --from-literal=accessKeyId={corpus.ACCESS_KEY} "
            f"--from-literal=secretAccessKey={corpus.SECRET_KEY} --dry-run=client -o yaml | kubectl apply -f -",
            show=False,
        )

    def _questions(self) -> None:
        chosen = corpus.questions(self._known())
        map_ = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "cranfield-questions", "namespace": NAMESPACE},
            "data": {"questions.jsonl": corpus.question_set(chosen)},
        }
        self.terminal.run("kubectl apply --server-side -f -", stdin=json.dumps(map_), show=False)
        self.terminal.result(f"{len(chosen)} held-out questions in ConfigMap cranfield-questions")

    def _known(self) -> set[str] | None:
        return None if self.documents is None else {f"{corpus.SOURCE}/{key}" for key, _ in corpus.documents(self.documents)}

    def _ndcg(self) -> float:
        return quality.mean_ndcg(gateway_url(self.terminal), corpus.questions(self._known()))

    def _build_figures(self, title: str) -> None:
        index = str((self.pipeline.status().get("stable") or {})["index"])
        build = self.pipeline.index_status(index)["build"]
        took = datetime.fromisoformat(build["completionTime"]) - datetime.fromisoformat(build["startTime"])
        seconds = max(took.total_seconds(), 1.0)  # the times in a status are whole seconds
        self.figures[f"indexed, {title}"] = (
            f"{build['documents']} documents, {build['chunks']} chunks in {seconds:.0f} s: "
            f"{build['documents'] / seconds:.0f} documents/s, {build['chunks'] / seconds:.0f} chunks/s"
        )

    def _ask_by_openai(self, url: str) -> None:
        import openai

        self.terminal.console.print(f"   [bold]>>> openai.OpenAI(base_url='{url}/v1').chat.completions.create(model='{PIPELINE}', ...)[/]")
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
            answer = client.chat.completions.create(model=PIPELINE, messages=[{"role": "user", "content": QUESTION}])
        self.terminal.output((answer.choices[0].message.content or "")[:600])

    async def _scale_out(self, embedder: str, before: int) -> None:
        # "More like this": passages as questions keep the embedder busy, short questions only the clients. Each is asked once, because the
        # gateway remembers the vectors of questions it has seen.
        passages = [" ".join(text.split()[:120]) for _, text in corpus.documents(self.documents)]
        texts = [f"{number} {passage}" for number in range(30) for passage in passages]
        begun = time.monotonic()
        async with Traffic(gateway_url(self.terminal), texts, clients=64):
            await _until("a second embedder", lambda: self.pipeline.embedder_replicas(embedder) > before, timeout=180)
            self.figures["load to another embedder Ready"] = f"{time.monotonic() - begun:.1f} s"
            self.terminal.result(f"another embedder is Ready after {self.figures['load to another embedder Ready']}")

    async def _rollout(self, model: Model, ending: str, timeout: float) -> None:
        before = self.pipeline.last_decision()
        async with self._load(clients=8, pause=0.2) as traffic:
            await asyncio.to_thread(self._apply, model)
            await asyncio.to_thread(self._retry_if_rejected)
            begun = time.monotonic()
            with self.terminal.watching(["kubectl", "-n", NAMESPACE, "get", "ragp", PIPELINE, "-w"]):
                await _until(f"the rollout {ending}", lambda: self._ended(ending, before), timeout=timeout)
            self.terminal.result(f"{ending} after {time.monotonic() - begun:.1f} s")
        self._note_traffic(traffic)

    def _retry_if_rejected(self) -> None:
        """Run again, the story meets models that were rejected the last time; one asks for another try by a verb."""
        wait_for("the operator to see the new spec", self.pipeline.generation_seen, timeout=60)
        if self.pipeline.status().get("reason") == "Rejected":
            self.terminal.run(f"kubectl rag -n {NAMESPACE} retry {PIPELINE}")

    def _ended(self, ending: str, before: dict[str, object]) -> bool:
        decision = self.pipeline.last_decision()
        if decision in ({}, before) or not self.pipeline.generation_seen():
            return False
        if decision["outcome"] != ending:
            raise CommandError(f"the rollout ended {decision['outcome']}, expected {ending}: {decision.get('message')}")
        return not self.pipeline.status().get("candidate")

    async def _roll_back(self) -> None:
        target = str((self.pipeline.status().get("retired") or {}).get("revision", ""))
        if not target:
            raise CommandError("there is no retired revision to go back to; run the chapter better-model first")
        async with self._load(clients=8, pause=0.2) as traffic:
            await _until("traffic flows", lambda: len(traffic.answers) > 40, timeout=30)
            begun = time.monotonic()
            await asyncio.to_thread(self.terminal.run, f"kubectl rag -n {NAMESPACE} rollback {PIPELINE} --to {target} --yes")
            commanded = time.monotonic()
            await _until(
                "every answer by the old revision", lambda: traffic.since(time.monotonic() - 0.3).by_revision.keys() == {target}, timeout=30
            )
            last = max(answer.at for answer in traffic.answers if answer.revision != target)
            self.figures["rollback: last answer by the other revision"] = (
                f"{last - begun:.2f} s after the command was typed, {max(0.0, last - commanded):.2f} s after it returned"
            )
        self._note_traffic(traffic)

    def _load(self, clients: int, pause: float = 0.0) -> Traffic:
        texts = [question.text for question in corpus.questions(self._known())]
        return Traffic(gateway_url(self.terminal), texts, preview_url(self.terminal), clients=clients, pause=pause)

    def _note_traffic(self, traffic: Traffic) -> None:
        summary = traffic.summary()
        self.traffic_totals.append(summary)
        self.terminal.result(
            f"{summary.requests} questions meanwhile: {summary.failed} failed, "
            f"{summary.mixed} mixed of {summary.witnessed} that said where they came from, "
            f"p50 {summary.p50 * 1000:.0f} ms, p99 {summary.p99 * 1000:.0f} ms, by revision {summary.by_revision}"
        )
        for error in summary.errors:
            self.terminal.say(f"failed: {error}")


async def _until(what: str, probe: Callable[[], bool], timeout: float) -> None:
    """`wait_for` beside running clients: the probe runs in a thread."""
    await asyncio.to_thread(wait_for, what, probe, timeout)


def _answers(url: str) -> bool:
    try:
        return _retrieved(url, query=QUESTION, k=1).is_success
    except httpx.TransportError:
        return False


def _finds(url: str, question: str, key: str) -> bool:
    reply = _retrieved(url, query=question, k=3, groupBy="document")
    return reply.is_success and f"{corpus.SOURCE}/{key}" in reply.text


def _retrieved(url: str, **body: object) -> httpx.Response:
    return httpx.post(f"{url}/v1/retrieve", json=body, trust_env=False, timeout=30)
