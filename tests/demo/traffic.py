"""Constant traffic: clients that ask questions one after another and keep what each answer said about itself.

Used by the demo and by the end-to-end tests. A request is *failed* when it ended in anything but a whole answer. An answer is *mixed*
when its revision was seen with another collection or another vector dimension before: a revision has exactly one of each. Only the
preview port says collection and dimension, and without `x-rag-revision` it chooses by weight as the public port does; so two witnesses
ask there beside the clients.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from rag_runtime.contracts import headers

WITNESSES = 2
RETRIEVE = "/v1/retrieve"
QUERY = "/v1/query"


@dataclass(frozen=True)
class Answer:
    """One request as the client saw it. Times are seconds; `at` is when it ended."""

    at: float
    seconds: float
    status: int  # 0: no HTTP answer
    revision: str = ""
    epoch: int = -1
    collection: str = ""
    dimension: str = ""
    mode: str = ""
    error: str = ""

    @property
    def asked(self) -> float:
        """When the request began: what it was answered by was decided no earlier, however long the answer took."""
        return self.at - self.seconds

    @property
    def failed(self) -> bool:
        """Whether this was anything but a whole answer."""
        return self.status != httpx.codes.OK or bool(self.mode)


@dataclass(frozen=True)
class Summary:
    """What a stretch of traffic came to."""

    requests: int
    failed: int
    mixed: int
    witnessed: int  # answers that said which collection and dimension they came from
    p50: float
    p99: float
    by_revision: dict[str, int]
    origins: dict[str, tuple[str, str]]  # the collection and the dimension of each revision, as answers said
    errors: tuple[str, ...]


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile; NaN for nothing."""
    if not values:
        return float("nan")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked) + 0.5) - 1))]


def came_from(answers: Iterable[Answer]) -> tuple[dict[str, tuple[str, str]], int]:
    """The (collection, dimension) that each revision was seen with first, and how many answers contradict that."""
    seen: dict[str, tuple[str, str]] = {}
    wrong = 0
    for answer in answers:
        if answer.revision and answer.collection:
            what = (answer.collection, answer.dimension)
            wrong += seen.setdefault(answer.revision, what) != what
    return seen, wrong


def summarize(answers: Sequence[Answer]) -> Summary:
    """Counts and latency percentiles of `answers`."""
    whole = [answer for answer in answers if not answer.failed]
    counts: dict[str, int] = {}
    for answer in whole:
        counts[answer.revision] = counts.get(answer.revision, 0) + 1
    latencies = [answer.seconds for answer in whole]
    failures = [answer for answer in answers if answer.failed]
    errors = dict.fromkeys(f"{answer.status} {answer.mode} {answer.error}".strip() for answer in failures)
    origins, mixed = came_from(answers)
    return Summary(
        requests=len(answers),
        failed=len(failures),
        mixed=mixed,
        witnessed=sum(bool(answer.collection) for answer in whole),
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        by_revision=counts,
        origins=origins,
        errors=tuple(errors)[:5],
    )


@dataclass
class Traffic:
    """`clients` tasks that ask `url` the next of `questions` each, until the context ends; witnesses beside them where `preview` is given.

    `pause` seconds lie between an answer and the client's next question. The clients run in the event loop of the caller.
    """

    url: str
    questions: Sequence[str]
    preview: str | None = None  # base URL of the gateway's preview port
    clients: int = 8
    pause: float = 0.0
    path: str = RETRIEVE
    api_key: str | None = None
    timeout: float = 30.0
    answers: list[Answer] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _http: httpx.AsyncClient | None = None
    _asked: Iterator[str] = field(default_factory=lambda: iter(()))

    async def __aenter__(self) -> Self:
        sent = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        self._http = httpx.AsyncClient(headers=sent, timeout=self.timeout, trust_env=False)
        bases = [self.url] * self.clients + [self.preview] * (WITNESSES if self.preview else 0)
        self._asked = itertools.cycle(self.questions)
        self._tasks = [asyncio.create_task(self._client(number, f"{base}{self.path}")) for number, base in enumerate(bases)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        assert self._http is not None
        await self._http.aclose()

    def since(self, at: float) -> Summary:
        """What was answered after the monotonic time `at`."""
        return summarize([answer for answer in self.answers if answer.at >= at])

    def between(self, start: float, end: float) -> Summary:
        """What was answered from one monotonic time to another."""
        return summarize([answer for answer in self.answers if start <= answer.at < end])

    def summary(self) -> Summary:
        """What was answered so far."""
        return summarize(self.answers)

    async def _client(self, number: int, url: str) -> None:
        while not self._stop.is_set():
            question = next(self._asked)
            self.answers.append(await self._ask(url, question, session=f"client-{number}-{len(self.answers)}"))
            if self.pause:
                await asyncio.wait({asyncio.ensure_future(self._stop.wait())}, timeout=self.pause)

    async def _ask(self, url: str, question: str, session: str) -> Answer:
        assert self._http is not None
        begun = time.monotonic()
        # Passages can be had by document; an answer is written from passages as they are.
        body = {"query": question, "k": 10, **({"groupBy": "document"} if self.path == RETRIEVE else {})}
        try:
            reply = await self._http.post(url, json=body, headers={headers.SESSION: session})
        except httpx.HTTPError as error:
            now = time.monotonic()
            return Answer(at=now, seconds=now - begun, status=0, error=repr(error))
        now = time.monotonic()
        said = reply.headers
        return Answer(
            at=now,
            seconds=now - begun,
            status=reply.status_code,
            revision=said.get(headers.REVISION, ""),
            epoch=int(said.get(headers.EPOCH, -1)),
            collection=said.get(headers.COLLECTION, ""),
            dimension=said.get(headers.DIMENSION, ""),
            mode=said.get(headers.MODE, ""),
            error="" if reply.is_success else reply.text[:200],
        )
