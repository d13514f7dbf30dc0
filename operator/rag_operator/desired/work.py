"""What an index is to do now, from where it stands: build, copy, sync, stop or drop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rag_operator.api.scalars import Timestamp
from rag_operator.api.v1alpha1.index import IndexIdentity
from rag_operator.api.v1alpha1.index_status import CopyFrom, Work

Collecting = Literal["StopWriters", "MarkCollecting", "Drop", "Delete"]


@dataclass(frozen=True)
class Donor:
    """An index that is built, caught up and not being collected: its vectors may be copied."""

    name: str
    collection: str
    identity: IndexIdentity


def next_work(
    identity: IndexIdentity,
    present: Work | None,
    *,
    built: bool,
    failed: bool = False,
    collect: Collecting | None = None,
    donors: Iterable[Donor] = (),
    cold_until: Timestamp | None = None,
) -> Work:
    """The work of an index.

    `present` is what its RAGIndex says now, `failed` that the Job of it ended without its result. How an index is filled is decided once,
    when it is made: a build that is under way does not turn into a copy because a donor appears. `cold_until`: it is to be out of memory.
    """
    attempt = present.attempt if present is not None else 0
    if collect in ("StopWriters", "MarkCollecting"):
        return Work(mode="Stop", attempt=attempt)
    if collect is not None:
        return Work(mode="Drop", attempt=attempt if present is not None and present.mode == "Drop" and not failed else attempt + 1)
    if built:
        # Counted, so that who said that the index is loaded before it went cold is not believed afterwards.
        cools = cold_until is not None and (present is None or present.cold_until is None)
        return Work(mode="Sync", attempt=attempt + cools, cold_until=cold_until)
    if present is not None and present.mode in ("Build", "Copy") and not failed:
        return present
    source = donor(identity, donors)
    if source is None:
        return Work(mode="Build", attempt=attempt + 1)
    taken = CopyFrom(index=source.name, collection=source.collection, dimensions=source.identity.content.dimensions)
    return Work(mode="Copy", from_=taken, attempt=attempt + 1)


def donor(identity: IndexIdentity, donors: Iterable[Donor]) -> Donor | None:
    """An index whose vectors are the ones that are wanted, or begin with them: equal content first, then longer vectors."""
    fitting = [candidate for candidate in donors if _fits(identity, candidate.identity)]
    return min(fitting, key=lambda one: (one.identity.content_digest != identity.content_digest, one.name), default=None)


def _fits(wanted: IndexIdentity, there: IndexIdentity) -> bool:
    if there.digest == wanted.digest:
        return False  # the index itself
    if wanted.content.reindex != there.content.reindex:
        return False  # people asked for a build: a copy would hand on what they want to be rid of
    if there.content_digest == wanted.content_digest:
        return True
    longer = there.content.dimensions > wanted.content.dimensions
    return longer and there.content.model_copy(update={"dimensions": wanted.content.dimensions}) == wanted.content
