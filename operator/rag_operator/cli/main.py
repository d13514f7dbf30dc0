"""`kubectl rag`: pipelines as people look at them.

`-o json` is for programs. The exit status is 0 when done, 1 when not, 2 for wrong usage, 3 when the operator has not answered in time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rag_operator import errors
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.cli import ask as asking
from rag_operator.cli import compare, manifest, questions, verbs, view
from rag_operator.cli.connect import CommandError, Place, Session, connect
from rag_operator.desired import revision_record
from rag_operator.model import codec
from rag_operator.rollout.identity import resolve

PROGRAM = "kubectl rag"
# No completion: a shell completes the words after `kubectl` by asking kubectl, never a plugin.
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
Result = TypeVar("Result")

Name = Annotated[str, typer.Argument(help="Name of the RAGPipeline.")]
Output = Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="json is for programs.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the operator's answer.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask at a terminal.")]
Nonce = Annotated[str | None, typer.Option(help="Makes this request another one than the last. Unset: the time.")]


@app.callback()
def options(
    context: typer.Context,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Unset: the context's.")] = None,
    kubeconfig: Annotated[str | None, typer.Option(help="Unset: KUBECONFIG, or ~/.kube/config.")] = None,
    cluster: Annotated[str | None, typer.Option("--context", help="Unset: the current one.")] = None,
) -> None:
    """Where to look."""
    context.obj = Place(kubeconfig, cluster, namespace)


@app.command()
def status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Unset: every pipeline of the namespace.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until interrupted.")] = False,
    output: Output = "text",
) -> None:
    """Show a pipeline as a tree, or all of them in a table."""
    if watch and output == "text":
        _run(context, lambda session: _watch(session, name))
    elif name is None:
        found, namespace = _run(context, _all)
        listed = [item.get("status", {}) | {"name": item["metadata"]["name"]} for item in found]
        _print(output, listed, lambda: [view.overview(found, namespace)])
    else:
        pipeline, indexes = _run(context, lambda session: _look(session, name))
        shown = {"pipeline": pipeline.get("status", {}), "indexes": {item["metadata"]["name"]: item.get("status", {}) for item in indexes}}
        _print(output, shown, lambda: [view.tree(pipeline, indexes)])


async def _look(session: Session, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return await session.pipeline(name), await session.indexes(name)


async def _all(session: Session) -> tuple[list[dict[str, Any]], str]:
    return await session.pipelines(), session.namespace


async def _watch(session: Session, name: str | None) -> None:
    with Live(console=_console(), refresh_per_second=4) as live:
        while True:
            live.update(view.tree(*await _look(session, name)) if name else view.overview(*await _all(session)))
            await asyncio.sleep(1.0)


@app.command()
def plan(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A RAGPipeline manifest.", exists=True, dir_okay=False)],
    output: Output = "text",
) -> None:
    """Show what applying a file would change; nothing is written."""
    found = manifest.read(file)
    context.obj = replace(context.obj, namespace=found.applied_in(context.obj.namespace))
    change = _run(context, lambda session: _plan(session, found.name, found.spec))
    _print(output, change.to_json(), lambda: compare.table(change))


async def _plan(session: Session, name: str, spec: RAGPipelineSpec) -> compare.Change:
    pipeline = next((item for item in await session.pipelines() if item["metadata"]["name"] == name), None)
    record = codec.loads((pipeline or {}).get("status", {}).get("record"))
    recorded = {found.name: found for found in map(revision_record.revision, await session.records(name))}
    reference = spec.generator.prompt.template_config_map_ref if spec.generator and spec.generator.prompt else None
    template = await session.text(reference.name, reference.key) if reference else None
    wanted = resolve(name, spec, template=template, reindex=record.reindex)
    stable = recorded.get(record.stable or "")
    indexes = {item["metadata"]["name"]: item.get("status") or {} for item in await session.indexes(name)}
    index = RAGIndexStatus.model_validate(indexes[stable.index.name]) if stable and stable.index.name in indexes else None
    return compare.compare(wanted, stable, record, index, recorded.values())


@app.command()
def promote(
    context: typer.Context,
    name: Name,
    *,
    full: Annotated[bool, typer.Option("--full", help="Skip the remaining steps and gates.")] = False,
    yes: Yes = False,
    wait: Wait = 10.0,
    nonce: Nonce = None,
    output: Output = "text",
) -> None:
    """Approve what the candidate waits for."""
    _confirm(yes or not full, f"Send all traffic of {name} to its candidate, without the remaining steps and gates?")
    _verb(context, name, lambda seen: verbs.promote_full(seen, _nonce(nonce)) if full else verbs.promote(seen, _nonce(nonce)), wait, output)


@app.command()
def abort(context: typer.Context, name: Name, *, yes: Yes = False, wait: Wait = 10.0, nonce: Nonce = None, output: Output = "text") -> None:
    """Send all traffic back to stable and reject the candidate."""
    _confirm(yes, f"Send all traffic of {name} back to stable and reject its candidate?")
    _verb(context, name, lambda seen: verbs.abort(seen, _nonce(nonce)), wait, output)


@app.command()
def retry(
    context: typer.Context,
    name: Name,
    *,
    revision: Annotated[str | None, typer.Argument(help="Unset: the candidate, or what was rejected.")] = None,
    wait: Wait = 10.0,
    nonce: Nonce = None,
    output: Output = "text",
) -> None:
    """Try a rejected revision, or a gate that did not decide, again."""
    _verb(context, name, lambda seen: verbs.retry(seen, _nonce(nonce), revision), wait, output)


@app.command()
def rollback(
    context: typer.Context,
    name: Name,
    *,
    to: Annotated[str | None, typer.Option(help="The revision that is meant. Unset: the one that is kept.")] = None,
    yes: Yes = False,
    wait: Wait = 10.0,
    nonce: Nonce = None,
    output: Output = "text",
) -> None:
    """Go back to the revision before, at once."""
    _confirm(yes, f"Send all traffic of {name} back to the revision before?")
    _verb(context, name, lambda seen: verbs.rollback(seen, _nonce(nonce), to), wait, output)


@app.command()
def reindex(context: typer.Context, name: Name, wait: Wait = 10.0, nonce: Nonce = None, output: Output = "text") -> None:
    """Build the index anew beside the live one, and roll it out."""
    _verb(context, name, lambda seen: verbs.reindex(_nonce(nonce)), wait, output)


@app.command("approve-deletions")
def approve_deletions(context: typer.Context, name: Name, wait: Wait = 10.0, nonce: Nonce = None, output: Output = "text") -> None:
    """Let deletions through that were held because there are so many."""
    _verb(context, name, lambda seen: verbs.approve_deletions(seen, _nonce(nonce)), wait, output)


@app.command()
def ask(
    context: typer.Context,
    name: Name,
    question: str,
    *,
    k: Annotated[int | None, typer.Option("-k", help="Passages to look at.")] = None,
    url: Annotated[str | None, typer.Option(help="The gateway's address. Unset: through the API server.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="File with an API key, for --url.", exists=True, dir_okay=False)] = None,
    output: Output = "text",
) -> None:
    """Ask a question and show the answer with its citations."""
    if url:
        key = key_file.read_text(encoding="utf-8").strip() if key_file else None
        answer = _guarded(lambda: asyncio.run(asking.ask_at(url, question, k, key)))
    else:
        answer = _run(context, lambda session: asking.ask(session, name, question, k))
    _print(output, answer, lambda: asking.shown(answer))


@app.command()
def evaluate(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(help="JSON Lines of {id, text, relevant: {documentId: grade}}.", exists=True, dir_okay=False)],
    *,
    revision: Annotated[list[str] | None, typer.Option(help="Unset: stable, and the candidate when there is one.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100)] = 10,
    output: Output = "text",
) -> None:
    """Ask held-out questions of revisions, as the gate does, and show what they find."""
    asked = _guarded(lambda: questions.read(file))
    found = _run(context, lambda session: _evaluate(session, name, asked, revision or [], k))
    grid = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("REVISION", *next(iter(found.values()))):
        grid.add_column(column)
    for one, numbers in found.items():
        grid.add_row(one, *(f"{value:.4f}" for value in numbers.values()))
    _print(output, found, lambda: [grid])


async def _evaluate(session: Session, name: str, asked: list[questions.Question], chosen: list[str], k: int) -> dict[str, dict[str, float]]:
    seen = view.status_of(await session.pipeline(name))
    known = chosen or view.reachable(seen)
    if not known:
        raise CommandError("no revision serves yet")
    return {one: questions.means(await asking.evaluate(session, name, one, asked, k)) for one in known}


def _verb(
    context: typer.Context, name: str, choose: Callable[[RAGPipelineStatus], verbs.Request], wait: float, output: Literal["text", "json"]
) -> None:
    answer = _run(context, lambda session: verbs.send(session, name, choose, wait))
    request, why = answer.request, f": {answer.message}" if answer.message else ""
    said = {"verb": request.verb, "value": request.value, "result": answer.result, "message": answer.message}
    _print(output, said, lambda: [Text(f"{request.verb} {request.value}: {answer.result}{why}")])
    if answer.result == "Refused":
        raise typer.Exit(1)
    if answer.result == "Pending" and wait > 0:
        raise typer.Exit(3)


def _confirm(yes: bool, question: str) -> None:
    # A script has nobody to ask, and said what it wants.
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True)


def _nonce(given: str | None) -> str:
    return given or str(int(time.time()))


def _run(context: typer.Context, act: Callable[[Session], Awaitable[Result]]) -> Result:
    async def connected() -> Result:
        async with connect(context.obj) as session:
            return await act(session)

    return _guarded(lambda: asyncio.run(connected()))


def _guarded(act: Callable[[], Result]) -> Result:
    try:
        return act()
    except (CommandError, errors.ApiError, revision_record.UnreadableRecordError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except ValidationError as error:
        places = ", ".join(".".join(map(str, found["loc"])) for found in error.errors())
        typer.echo(f"error: a status cannot be read, at {places}: is the operator of another version than kubectl-rag?", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def _print(output: str, value: Any, draw: Callable[[], Iterable[Any]]) -> None:
    """Programs get what the cluster says as it is; what is drawn of it for people has to be understood."""
    if output == "json":
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        _console().print(Group(*_guarded(draw)))


def _console() -> Console:
    # What clusters and documents say is no markup: brackets would vanish, or end the command, and words between colons become pictures.
    return Console(markup=False, emoji=False)


def main() -> None:
    """Run the command line."""
    app(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
