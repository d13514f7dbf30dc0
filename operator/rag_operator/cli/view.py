"""A pipeline as a tree that people read: revisions side by side, progress, gates, history. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from rag_operator import names
from rag_operator.api.v1alpha1.index_status import Build, RAGIndexStatus
from rag_operator.api.v1alpha1.status import CandidateStatus, Decision, Gate, RAGPipelineStatus, Serving

Object = Mapping[str, Any]

COLOURS: Final = {
    "Ready": "green",
    "RollingOut": "cyan",
    "Indexing": "cyan",
    "Pending": "yellow",
    "Deleting": "yellow",
    "Suspended": "yellow",
    "Degraded": "red",
    "Failed": "red",
    "Passed": "green",
    "Inconclusive": "yellow",
    "NotApplicable": "dim",
    "Promoted": "green",
    "Aborted": "red",
    "RolledBack": "red",
}


def status_of(pipeline: Object) -> RAGPipelineStatus:
    """Return a pipeline's status; empty before the operator has seen it."""
    return RAGPipelineStatus.model_validate(pipeline.get("status") or {})


def reachable(status: RAGPipelineStatus) -> list[str]:
    """Return the revisions that the preview port can answer by: stable, and a candidate whose parts are ready."""
    found = [status.stable.revision] if status.stable else []
    if status.candidate and status.candidate.stage in ("Evaluating", "WarmingUp", "Shifting"):
        found.append(status.candidate.revision)
    return found


def tree(pipeline: Object, indexes: Sequence[Object] = ()) -> Tree:
    """Return the whole picture of one pipeline."""
    status = _without_wishes(status_of(pipeline)) if is_deleting(pipeline) else status_of(pipeline)
    meta = pipeline["metadata"]
    builds = {index["metadata"]["name"]: RAGIndexStatus.model_validate(index.get("status") or {}) for index in indexes}
    root = Tree(_headline(f"{meta['namespace']}/{meta['name']}", phase_of(pipeline, status), _message(pipeline, status)))
    if status.endpoint:
        root.add(Text.assemble(("endpoint ", "dim"), status.endpoint))
    for branch in _revisions(status, builds):
        root.add(branch)
    for problem in _conditions(status):
        root.add(problem)
    if status.decisions:
        history = root.add(Text("history", style="dim"))
        for decision in status.decisions:
            history.add(_decision(decision))
    return root


def overview(pipelines: Sequence[Object], namespace: str) -> RenderableType:
    """Return one line per pipeline of a namespace."""
    if not pipelines:
        return Text(f"there is no RAGPipeline in namespace {namespace!r}; kubectl get ragp -A lists them")
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("NAME", "PHASE", "STABLE", "CANDIDATE", "TRAFFIC", "STEP", "DOCS", "MESSAGE"):
        table.add_column(column, overflow="fold")
    for pipeline in pipelines:
        status = status_of(pipeline)
        table.add_row(
            pipeline["metadata"]["name"],
            _coloured(phase_of(pipeline, status)),
            status.stable.revision if status.stable else "-",
            status.candidate.revision if status.candidate else "-",
            status.traffic or "-",
            status.step or "-",
            str(status.documents) if status.documents is not None else "-",
            _message(pipeline, status),
        )
    return table


def phase_of(pipeline: Object, status: RAGPipelineStatus) -> str:
    """Return where a pipeline is, in one word. While it is deleted its status still says how it was before."""
    return "Deleting" if is_deleting(pipeline) else status.phase or "Pending"


def _message(pipeline: Object, status: RAGPipelineStatus) -> str:
    return "" if is_deleting(pipeline) and status.reason != names.REASON_DROPPING else status.message


def _without_wishes(status: RAGPipelineStatus) -> RAGPipelineStatus:
    # What is being deleted waits for no approval, and nobody mends it.
    candidate = status.candidate.model_copy(update={"waiting_for": "", "held": ""}) if status.candidate else None
    return status.model_copy(update={"candidate": candidate, "conditions": ()})


def is_deleting(pipeline: Object) -> bool:
    """Return whether a pipeline is being deleted."""
    return "deletionTimestamp" in pipeline["metadata"]


def is_suspended(pipeline: Object) -> bool:
    """Return whether the operator leaves a pipeline alone."""
    return bool((pipeline.get("spec") or {}).get("suspend"))


def _headline(name: str, phase: str, message: str) -> Text:
    parts: list[str | tuple[str, str] | Text] = [(name, "bold"), "  ", _coloured(phase)]
    if message:
        parts += ["  ", (message, "dim")]
    return Text.assemble(*parts)


def _revisions(status: RAGPipelineStatus, builds: Mapping[str, RAGIndexStatus]) -> Iterator[Tree]:
    if status.stable:
        yield _serving("stable", status.stable, builds)
    if status.candidate:
        branch = _serving("candidate", status.candidate, builds)
        for line in _rollout(status.candidate):
            branch.add(line)
        yield branch
    if status.retired:
        until = f"kept for rollback until {status.retired.until}" if status.retired.until else "kept for rollback"
        if status.retired.cold:
            until += ", cold: going back starts its pods, loads its index and catches up, then moves all traffic at once"
        branch = _serving("retired", status.retired, builds)
        branch.add(Text(until, style="dim"))
        yield branch
    for entry in status.leaving:
        yield Tree(Text.assemble(("leaving ", "dim"), entry.revision, "  ", (entry.why, "dim")))


def _serving(role: str, serving: Serving, builds: Mapping[str, RAGIndexStatus]) -> Tree:
    branch = Tree(Text.assemble((f"{role} ", "dim"), (serving.revision, "bold"), f"  {serving.weight} %"))
    if serving.embedding_model:
        branch.add(Text.assemble(("embedder  ", "dim"), serving.embedding_model))
    if serving.index:
        branch.add(_index(serving, builds.get(serving.index)))
    if serving.generator_model:
        branch.add(Text.assemble(("generator ", "dim"), serving.generator_model))
    return branch


def _index(serving: Serving, found: RAGIndexStatus | None) -> RenderableType:
    documents = f"{serving.documents} documents" if serving.documents is not None else "not counted yet"
    line = Text.assemble(("index     ", "dim"), f"{serving.index}  {documents}")
    build = found.build if found else None
    if build is None or build.completion_time or not build.total:
        return line
    return Group(line, _progress(build))


def _progress(build: Build) -> RenderableType:
    total = build.total or 1
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=total, completed=min(build.documents, total), width=30), Text(_pace(build, total), style="dim"))
    return row


def _pace(build: Build, total: int) -> str:
    text = f"{build.documents}/{total} documents, {build.chunks} chunks"
    if build.rate:
        text += f", {build.rate:.1f}/s, {_duration(max(total - build.documents, 0) / build.rate)} left"
    return text


def _rollout(candidate: CandidateStatus) -> Iterator[Text]:
    steps = f", step {min(candidate.step + 1, candidate.steps)}/{candidate.steps}" if candidate.steps else ""
    yield Text.assemble((f"{candidate.stage}{steps}", "cyan"), f"  {candidate.held}" if candidate.held else "")
    if candidate.waiting_for:
        yield Text(f"waits: kubectl rag promote ({candidate.revision}/{candidate.waiting_for})", style="yellow")
    for gate in candidate.gates:
        yield _gate(gate)


def _gate(gate: Gate) -> Text:
    return Text.assemble((f"{gate.name.lower()} ", "dim"), _coloured(gate.result), f"  {gate.message}")


def _conditions(status: RAGPipelineStatus) -> Iterator[Text]:
    for condition in status.conditions:
        if condition.status == "False" and condition.type not in ("Reconciling", "Stalled"):
            yield Text.assemble((f"{condition.type} ", "dim"), (condition.reason, "yellow"), f"  {condition.message}")


def _decision(decision: Decision) -> Text:
    return Text.assemble((f"{decision.time} ", "dim"), _coloured(decision.outcome), f" {decision.revision}  {decision.message}")


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, ""))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
