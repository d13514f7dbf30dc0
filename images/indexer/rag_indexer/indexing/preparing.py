"""Between reading and writing: what each document takes in each index, and the vectors for it. Each text is embedded once for all indexes.

An embedder that is away, refuses or fails costs its own indexes their changes in this pass, and so does a store that cannot be read; the
others go on without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rag_indexer.errors import EmbedderError
from rag_indexer.indexing import planning
from rag_indexer.indexing.embedding import Refused
from rag_indexer.indexing.leaving import LeftOut
from rag_indexer.indexing.planning import Plan
from rag_indexer.indexing.reading import Document
from rag_indexer.indexing.spool import Spool
from rag_indexer.indexing.target import Target
from rag_runtime.milvus.errors import MilvusError
from rag_runtime.milvus.rows import Vector

# How long an embedder may take to say that it is there, where other indexes wait.
AWAY_SECONDS = 5.0
# How long one that fails is asked again, where indexes of other embedders wait.
PATIENCE_SECONDS = 30.0


class AwayError(EmbedderError):
    """The embedder was of no use from the beginning, or nobody knows which it is: nothing was left half done."""


@dataclass
class Batch:
    """Documents on their way: as read, then with plans and vectors for each index."""

    documents: list[Document]
    wanted: Mapping[str, frozenset[str]]
    plans: dict[str, list[Plan]] = field(default_factory=dict)
    vectors: dict[str, dict[str, Vector]] = field(default_factory=dict)


class Preparing:
    """Prepares what one pass writes into `targets`."""

    def __init__(self, targets: Mapping[str, Target], spool: Spool, clock: Callable[[], float], left_out: LeftOut) -> None:
        self._targets = targets
        self._spool = spool
        self._clock = clock
        self._left_out = left_out
        self._away: dict[str, asyncio.Future[str]] = {}

    async def prepare(self, batch: Batch) -> None:
        """Fill in plans and vectors. Raises `EmbedderError` and `MilvusError` where one index is all there is."""
        await asyncio.gather(*(self._planned(target, batch) for target in self._targets.values() if target.name not in self._left_out))
        for name in list(batch.plans):
            if reason := self._targets[name].unknown:
                self._leave(batch, [name], AwayError(reason))
        alike: dict[str, list[str]] = {}
        for name in batch.plans:
            alike.setdefault(self._targets[name].content, []).append(name)
        await asyncio.gather(*(self._embed(batch, names) for names in alike.values()))

    async def _planned(self, target: Target, batch: Batch) -> None:
        try:
            await asyncio.to_thread(self._plan, target, batch)
        except MilvusError as error:
            self._left_out.add(target.name, error)

    async def _embed(self, batch: Batch, names: Sequence[str]) -> None:
        """`names` are indexes that cut and embed alike."""
        try:
            answers = await self._answers(self._targets[names[0]], _texts(batch, names))
        except EmbedderError as error:
            answers = {}
            self._leave(batch, names, error)
        for name in names:
            if name in batch.plans:
                self._settle(batch, name, answers)

    def _leave(self, batch: Batch, names: Iterable[str], error: EmbedderError) -> None:
        """Of these indexes, those that need vectors go without this batch."""
        for name in names:
            if _texts(batch, [name]):
                self._left_out.add(name, error)
                del batch.plans[name]

    async def _answers(self, target: Target, texts: set[str]) -> dict[str, Vector | Refused]:
        """Changes wait for the embedder of their own index alone. With one index there is nobody to hold up, and the pass is patient."""
        if texts and len(self._targets) > 1 and (reason := await self._why_away(target)):
            raise AwayError(reason)
        return await target.embedder.embed(texts, patience=self._patience())

    async def _why_away(self, target: Target) -> str:
        if target.content not in self._away:
            self._away[target.content] = asyncio.ensure_future(target.embedder.why_away(AWAY_SECONDS))
        return await self._away[target.content]

    def _patience(self) -> float:
        return PATIENCE_SECONDS if len({target.content for target in self._targets.values()}) > 1 else float("inf")

    def _plan(self, target: Target, batch: Batch) -> None:
        """What each document takes in one index. Blocks."""
        now = self._clock()
        mine = [document for document in batch.documents if target.name in batch.wanted[document.id]]
        ledger = self._spool.ledger_of(target.name, [document.id for document in mine])
        known = {document.id: ledger.get(document.id) for document in mine}
        plans = [planning.failed(target, document, known[document.id], now) for document in mine if document.parsed is None]
        read = [document for document in mine if document.parsed is not None]
        for document in read:
            if (row := known[document.id]) is not None and planning.is_only_renewed(target, document, row):
                plans.append(Plan(planning.renewed(row, document, now)))
        changed = [document for document in read if not planning.is_only_renewed(target, document, known[document.id])]
        batch.plans[target.name] = plans + planning.plans(target, changed, ledger, now)

    def _settle(self, batch: Batch, name: str, answers: Mapping[str, Vector | Refused]) -> None:
        """A document with a text the model refuses fails as a whole; the others go on."""
        plans = batch.plans[name]
        refused = {text: answer for text, answer in answers.items() if isinstance(answer, Refused)}
        batch.vectors[name] = {text: answer for text, answer in answers.items() if not isinstance(answer, Refused)}
        if not refused:
            return
        documents = {document.id: document for document in batch.documents}
        for position, plan in enumerate(plans):
            reason = next((refused[text] for text in plan.texts.values() if text in refused), None)
            if reason is not None:
                before = self._spool.ledger_of(name, [plan.after.document]).get(plan.after.document)
                document = documents[plan.after.document]
                unreadable = Document(document.id, document.entry, document.content_hash, reason=reason)
                plans[position] = planning.failed(self._targets[name], unreadable, before, self._clock())


def _texts(batch: Batch, names: Iterable[str]) -> set[str]:
    return {text for name in names for plan in batch.plans[name] for text in plan.texts.values()}
