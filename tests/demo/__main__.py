"""`python -m demo [chapter ...]`: the whole story, or some of its chapters again. `python -m demo down` takes everything away."""

from __future__ import annotations

import argparse
import os
import sys
import time

import httpx

from cluster.commands import ClusterError
from demo.place import NAMESPACE, SYSTEM, place
from demo.story import Story
from demo.terminal import CommandError, Terminal

CHAPTERS = (
    ("install", "Install the operator from its Helm chart"),
    ("fill-bucket", "Put the Cranfield collection into S3"),
    ("first-revision", "Apply the pipeline and watch its index being built"),
    ("questions", "Ask: by curl, by an OpenAI client, by kubectl"),
    ("freshness", "A document added in S3 is found, a deleted one is gone"),
    ("better-model", "Change the embedding model with traffic running: build, gate, canary, promote"),
    ("autoscaling", "Load: the queue grows, the HPA adds embedders, then takes them away"),
    ("worse-model", "A bad model: the gate fails, the rollout is aborted"),
    ("rollback", "Go back by one command"),
)


def main() -> None:
    """Run the chapters; a failure says which chapter, why, and what to look at."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("chapters", nargs="*", metavar="chapter", help=", ".join(name for name, _ in CHAPTERS) + ", down")
    parser.add_argument("--documents", type=int, default=None, help="only so many of Cranfield's 1,400 documents")
    arguments = parser.parse_args()
    found = place()
    terminal = Terminal(found.environment())
    story = Story(terminal, found, arguments.documents)
    if arguments.chapters == ["down"]:
        down(terminal)
        return
    unknown = set(arguments.chapters) - {name for name, _ in CHAPTERS}
    if unknown:
        parser.error(f"unknown chapter {sorted(unknown)}, allowed: {', '.join(name for name, _ in CHAPTERS)}, down")
    terminal.say(f"to type along:  export KUBECONFIG={found.kubeconfig} PATH={found.programs}:$PATH")
    begun = time.monotonic()
    for number, (name, title) in enumerate(CHAPTERS, 1):
        if not arguments.chapters or name in arguments.chapters:
            _chapter(story, number, name, title)
    summary(story, time.monotonic() - begun)


def _chapter(story: Story, number: int, name: str, title: str) -> None:
    story.terminal.heading(number, title)
    try:
        getattr(story, name.replace("-", "_"))()
    except (CommandError, ClusterError, httpx.HTTPError, OSError, TimeoutError) as error:
        story.terminal.console.print(f"\n[red]chapter {number} ({name}) failed:[/] {error}", markup=True)
        _what_to_look_at(story)
        sys.exit(f"run it again with:  {os.environ.get('MAKE_HINT', 'make demo')} CHAPTERS={name}")


def _what_to_look_at(story: Story) -> None:
    for command in (
        f"kubectl -n {NAMESPACE} get ragp,ragi,pods -o wide",
        f"kubectl -n {NAMESPACE} get events --sort-by=.lastTimestamp | tail -8",
        f"kubectl -n {SYSTEM} logs -l app.kubernetes.io/name=rag-operator --tail=8 --prefix",
    ):
        try:
            story.terminal.run(command)
        except CommandError as error:
            story.terminal.output(str(error))


def summary(story: Story, seconds: float) -> None:
    """The figures of this run."""
    from rich.table import Table

    totals = story.traffic_totals
    if totals:
        story.figures["questions during the rollouts"] = str(sum(total.requests for total in totals))
        story.figures["question latency, p50 / p99"] = " | ".join(f"{t.p50 * 1000:.0f} / {t.p99 * 1000:.0f} ms" for t in totals)
        story.figures["failed requests"] = str(sum(total.failed for total in totals))
        story.figures["mixed answers"] = str(sum(total.mixed for total in totals))
    story.figures["the whole story"] = f"{seconds:.0f} s"
    table = Table(title="Measured in this run", show_header=False)
    for name, value in story.figures.items():
        table.add_row(name, value)
    story.terminal.console.print(table)
    story.terminal.say("everything is still running; make demo-down takes it away")


def down(terminal: Terminal) -> None:
    """Delete the pipeline, uninstall the chart; the cluster itself is `make cluster-down`'s."""
    terminal.run(f"kubectl -n {NAMESPACE} delete ragp --all --ignore-not-found --timeout=120s")
    terminal.run(f"kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=180s")
    terminal.run(f"helm uninstall rag-operator --namespace {SYSTEM} --ignore-not-found")


main()
