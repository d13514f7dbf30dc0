"""The commands of README and docs/ that need a pipeline, typed as they stand there, at the moment that the page speaks of."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from cluster.commands import ClusterError, run
from cluster.tools import binary
from demo import corpus
from demo.pipeline import STATIC
from demo.place import programs
from documented import pages, register
from documented.shell import Shell, Watch
from e2e.namespaces import Namespace
from e2e.rollouts import NAME, Library, library, pipeline, questions

# Another model to the operator, with pods and an index of its own, and quick to index by on two cores.
OTHER = replace(STATIC, title="the static model cut to 128 dimensions", dimensions=128)
BY_HAND = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}, "evaluation": None}


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the pages: a shell whose kubectl speaks to the namespace of the pipeline."""

    handbook: Library
    shell: Shell

    def until(self, what: str, probe: Callable[[], bool]) -> None:
        self.handbook.until(what, probe, 300)

    def role(self, role: str) -> str:
        return self.handbook.role(role)

    def asks_for(self, verb: str) -> None:
        """One of the verbs, which the operator must carry out."""
        assert ": Done" in self.shell.run(f"kubectl rag {verb}")


@pytest.fixture
def reader(make_namespace: Callable[..., Namespace], tmp_path: Path) -> Iterator[Reader]:
    with library(make_namespace()) as handbook:
        kubeconfig = tmp_path / "kubeconfig"
        shutil.copy(handbook.namespace.cluster.kubeconfig, kubeconfig)
        run([binary("kubectl"), f"--kubeconfig={kubeconfig}", "config", "set-context", "--current", "--namespace", handbook.namespace.name])
        environment = {"KUBECONFIG": str(kubeconfig), "PATH": f"{programs()}:{os.environ['PATH']}", "COLUMNS": "200"}
        yield Reader(handbook, Shell(register.CLUSTER, tmp_path, environment))


@pytest.mark.timeout(1800)
def test_the_commands_of_the_pages_do_what_the_pages_say(reader: Reader) -> None:
    with reader.handbook.telling():
        the_first_minute(reader)
        reading_the_status(reader)
        looking_closer(reader)
        asking(reader)
        a_new_model_and_back(reader)
        tried_again_aborted_and_forced(reader)
        the_other_verbs(reader)
    reader.shell.finish()


def the_first_minute(reader: Reader) -> None:
    shell = reader.shell
    with ExitStack() as watches:
        table, events, indexes = (
            watches.enter_context(shell.watching(f"kubectl get {what}")) for what in ("ragp -w", "ragp -w --output-watch-events", "ragi -w")
        )
        reader.handbook.apply(STATIC, **BY_HAND)
        tree = watches.enter_context(shell.watching(f"kubectl rag status {NAME} --watch"))
        reader.until("the first revision to serve", lambda: reader.handbook.status().get("phase") == "Ready")
        seen = ((table, " Ready "), (events, " Ready "), (indexes, " True "), (tree, f"stable {reader.role('stable')}"))
        reader.until("every watch to show it", lambda: all(word in watch.text for watch, word in seen))
    columns = ["NAME", *comment_of("kubectl get ragp -w").partition(";")[0].split()]
    assert header(table) == columns
    assert header(events) == ["EVENT", *columns]
    assert header(indexes)[:7] == ["NAME", "PIPELINE", "WORK", "BUILT", "TOTAL", "DOCS", "READY"]


def header(watch: Watch) -> list[str]:
    return next(line.split() for line in watch.text.splitlines() if " AGE" in line)


def comment_of(command: str) -> str:
    """What the page says beside a command."""
    return next(one.comment for page, text in pages.pages().items() for one in pages.commands(page, text) if one.text == command)


def reading_the_status(reader: Reader) -> None:
    shell = reader.shell
    described = shell.run(f"kubectl describe ragp {NAME}")
    assert all(word in described for word in ("Conditions:", "Decisions:", "Events:", "RolloutPromoted", "questions are answered"))
    assert "condition met" in shell.run(f"kubectl wait --for=condition=Ready ragp/{NAME}")
    listed = shell.run("kubectl get ragp,ragi")
    assert f"ragpipeline.ragops.dev/{NAME}" in listed
    assert f"ragindex.ragops.dev/{reader.handbook.status()['stable']['index']}" in listed


def looking_closer(reader: Reader) -> None:
    shell = reader.shell
    found = yaml.safe_load(shell.run("kubectl get ragi -o yaml"))["items"]
    assert [one["status"]["sync"]["documents"] for one in found] == [reader.handbook.status()["documents"]]
    assert "embedder" in shell.run("kubectl explain ragp.spec")
    assert "maxDeleteFraction" in shell.run("kubectl explain ragpipeline.spec --recursive")
    assert '"message"' in shell.run(f"kubectl logs deployment/{NAME}-indexer")
    assert f"{NAME}-milvus" in shell.run("kubectl get pvc -A -l ragops.dev/kind=milvus")
    swapped = {"NAMESPACE": reader.handbook.namespace.name, "%3DNAME": f"%3D{NAME}"}
    reader.until("the metric", lambda: is_served(reader, swapped))
    assert json.loads(shell.run(f"kubectl get --raw {register.METRIC}", swapped))["items"]


def is_served(reader: Reader, swapped: dict[str, str]) -> bool:
    """Whether the adapter has the metric: before, it answers with an error, or with nothing."""
    path = register.METRIC.strip('"')
    for word, other in swapped.items():
        path = path.replace(word, other)
    try:
        return bool(json.loads(reader.handbook.namespace.kubectl("get", "--raw", path))["items"])
    except ClusterError:
        return False


def asking(reader: Reader) -> None:
    said = reader.shell.run(f'kubectl rag ask {NAME} "how much leave do I have?"')
    assert "[1]" in said
    assert f"revision {reader.role('stable')}, epoch" in said
    (reader.shell.directory / "questions.jsonl").write_text(corpus.question_set(questions()[:5]))
    numbers = reader.shell.run(f"kubectl rag evaluate {NAME} questions.jsonl").splitlines()
    assert numbers[0].split() == ["REVISION", "nDCG@10", "Recall@10", "MRR"]
    assert numbers[1].split()[0] == reader.role("stable")


def a_new_model_and_back(reader: Reader) -> None:
    static = reader.role("stable")
    (reader.shell.directory / "pipeline.yaml").write_text(yaml.safe_dump(pipeline(reader.handbook, OTHER, BY_HAND)))
    plan = " ".join(reader.shell.run("kubectl rag plan pipeline.yaml").split())
    assert all(word in plan for word in (f"stable is {static}", "+ embedder", "+ index", "- embedder", "- index", "chunks to embed about"))
    reader.handbook.apply(OTHER, **BY_HAND)
    reader.until("the candidate to wait for approval", reader.handbook.waits)
    other = reader.handbook.candidate()["revision"]
    assert other in plan
    reader.asks_for(f"promote {NAME}")
    reader.handbook.until_decided("Promoted", 2)
    assert (reader.role("stable"), reader.role("retired")) == (other, static)
    reader.asks_for(f"rollback {NAME}")
    assert (reader.role("stable"), reader.handbook.decisions()[0]["outcome"]) == (static, "RolledBack")


def tried_again_aborted_and_forced(reader: Reader) -> None:
    static, decided = reader.role("stable"), len(reader.handbook.decisions())
    reader.asks_for(f"retry {NAME}")
    reader.until("the candidate to wait again", reader.handbook.waits)
    other = reader.handbook.candidate()["revision"]
    reader.asks_for(f"abort {NAME}")
    reader.handbook.until_decided("Aborted", decided + 1)
    reader.until("the candidate to be gone", lambda: not reader.handbook.candidate())
    assert reader.role("stable") == static
    reader.asks_for(f"retry {NAME}")
    reader.until("the candidate to be back", lambda: bool(reader.handbook.candidate()))
    reader.asks_for(f"promote {NAME} --full")
    reader.until("the candidate to be promoted", lambda: reader.role("stable") == other)


def the_other_verbs(reader: Reader) -> None:
    index = reader.handbook.status()["stable"]["index"]
    reader.asks_for(f"approve-deletions {NAME}")
    reader.asks_for(f"reindex {NAME}")
    reader.until("an index that is built anew", lambda: reader.handbook.candidate().get("index", index) != index)
