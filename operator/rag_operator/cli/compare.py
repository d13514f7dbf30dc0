"""What a file would change: which components are new, shared or leave, and how much would be embedded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from rag_operator.api import marks
from rag_operator.api.fields import Value, values
from rag_operator.api.v1alpha1.index_status import RAGIndexStatus
from rag_operator.model.plan import Record
from rag_operator.model.revision import Component, Revision
from rag_operator.rollout.gates import layout_only
from rag_operator.rollout.identity import TEMPLATE_REF

Fate = Literal["new", "shared", "leaves"]


@dataclass(frozen=True)
class Part:
    """One component and what becomes of it."""

    kind: str
    name: str
    fate: Fate
    why: str


@dataclass(frozen=True)
class Change:
    """What applying a file would do."""

    revision: str
    stable: str | None
    parts: tuple[Part, ...]
    chunks_to_embed: int | None  # None: the first index, nobody has counted yet
    settings: tuple[str, ...]  # fields that change how the same components answer: a new revision all the same
    in_place: tuple[str, ...]  # fields that change without a new revision
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the change for programs."""
        return asdict(self)


def compare(
    wanted: Revision, stable: Revision | None, record: Record, index: RAGIndexStatus | None, others: Iterable[Revision] = ()
) -> Change:
    """Return what it means to want a revision. `index` is the status of stable's index, `others` every recorded revision."""
    standing = {part.name for revision in others for part in revision.components()}
    parts = [*(_arriving(part, stable, standing) for part in wanted.components()), *_leaving(wanted, stable)]
    return Change(
        revision=wanted.name,
        stable=stable.name if stable else None,
        parts=tuple(parts),
        chunks_to_embed=_chunks(wanted, stable, standing, index),
        settings=tuple(_settings(wanted, stable)),
        in_place=tuple(_changed(wanted, stable, _stays)),
        remarks=tuple(_remarks(wanted, stable, record)),
    )


def _arriving(part: Component, stable: Revision | None, standing: set[str]) -> Part:
    if stable is not None and part.name in {own.name for own in stable.components()}:
        return Part(part.kind, part.name, "shared", "as stable has it")
    if part.name in standing:
        return Part(part.kind, part.name, "shared", "it stands already, for another revision")
    before = next((own for own in stable.components() if own.kind == part.kind), None) if stable else None
    return Part(part.kind, part.name, "new", ", ".join(_differences(part.inputs, before.inputs)) if before else "there is none yet")


def _leaving(wanted: Revision, stable: Revision | None) -> Iterable[Part]:
    staying = {part.name for part in wanted.components()}
    for part in stable.components() if stable else ():
        if part.name not in staying:
            yield Part(part.kind, part.name, "leaves", "after promotion and the rollback window")


def _differences(wanted: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    paths = sorted({*wanted, *before})
    return [f"{path}: {before.get(path)} → {wanted.get(path)}" for path in paths if wanted.get(path) != before.get(path)]


def _chunks(wanted: Revision, stable: Revision | None, standing: set[str], index: RAGIndexStatus | None) -> int | None:
    if wanted.index.name in standing or (stable is not None and wanted.index.name == stable.index.name):
        return 0
    if stable is not None and layout_only(stable, wanted):
        return 0
    counted = index.sync or index.build if index else None
    return counted.chunks if counted else None


def _answers(found: Value) -> bool:
    return marks.REVISION in found.marks and not _names_template(found)


def _stays(found: Value) -> bool:
    identity = {marks.CONTENT, marks.LAYOUT, marks.EMBEDDER, marks.GENERATOR, marks.REVISION}
    return not identity.intersection(found.marks) or _names_template(found)


def _names_template(found: Value) -> bool:
    # Its text is part of a revision, where it is kept is not.
    return found.path.startswith(f"{TEMPLATE_REF}.")


def _settings(wanted: Revision, stable: Revision | None) -> Iterable[str]:
    yield from _changed(wanted, stable, _answers)
    if stable is not None and wanted.prompt_template != stable.prompt_template:
        yield f"{TEMPLATE_REF}: another text"


def _changed(wanted: Revision, stable: Revision | None, counts: Callable[[Value], bool]) -> list[str]:
    """Return the changes of the fields that count."""
    if stable is None:
        return []
    now, then = (_counting(revision, counts) for revision in (wanted, stable))
    return [f"{path}: {then.get(path)} → {now.get(path)}" for path in sorted({*now, *then}) if now.get(path) != then.get(path)]


def _counting(revision: Revision, counts: Callable[[Value], bool]) -> dict[str, Any]:
    return {path: leaf for one in values(revision.spec) if counts(one) for path, leaf in _leaves(one.value, one.path).items()}


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    inside: dict[str, Any] = {}
    if isinstance(value, dict):
        inside = {f"{path}.{name}" if path else name: item for name, item in value.items()}
    elif isinstance(value, list):
        inside = {f"{path}[{number}]": item for number, item in enumerate(value)}
    return {key: leaf for name, item in inside.items() for key, leaf in _leaves(item, name).items()} or {path: value}


def _remarks(wanted: Revision, stable: Revision | None, record: Record) -> Iterable[str]:
    if stable is not None and wanted.name == stable.name:
        yield "the same revision: nothing is rolled out"
    elif wanted.name in record.rejected:
        yield "this revision was rejected: it waits for kubectl rag retry"
    elif record.retired is not None and wanted.name == record.retired.revision:
        cold = wanted.spec.rollout.rollback.mode == "Cold"
        yield f"this revision is kept for rollback: {'its index' if cold else 'everything of it'} stands"
    if record.rollout is not None and record.rollout.candidate not in (wanted.name, record.stable):
        yield f"it takes the place of {record.rollout.candidate}, which is being rolled out"
    if stable is not None and layout_only(stable, wanted):
        yield "only the layout of the index changes: vectors are copied, nothing is embedded"
    if wanted.spec.rollout.evaluation is None:
        yield "no evaluation is configured: retrieval quality goes unchecked"


def table(change: Change) -> Sequence[Table | Text]:
    """Return the change for people."""
    head = Text.assemble(("revision ", "dim"), (change.revision, "bold"), (f"  (stable is {change.stable or 'none yet'})", "dim"))
    grid = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("", "KIND", "NAME", "WHY"):
        grid.add_column(column, overflow="fold")
    style = {"new": ("+", "green"), "shared": ("=", "dim"), "leaves": ("-", "red")}
    for part in change.parts:
        sign, colour = style[part.fate]
        grid.add_row(Text(sign, style=colour), part.kind, part.name, f"{part.fate}: {part.why}")
    counted = "not known before the first build" if change.chunks_to_embed is None else f"about {change.chunks_to_embed:,}"
    lines = [Text.assemble(("chunks to embed ", "dim"), counted)]
    lines += [Text.assemble(("by the same components ", "dim"), line) for line in change.settings]
    lines += [Text.assemble(("in place ", "dim"), line) for line in change.in_place]
    return [head, grid, *lines, *(Text(remark, style="yellow") for remark in change.remarks)]
