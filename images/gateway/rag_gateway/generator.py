"""Client of an OpenAI-compatible generator: always streamed, so that a dead one is noticed between two tokens and not after minutes.

Another attempt is made only before the first token, and only within the retry budget. A stream counts as whole when it said why it
finished and ended; anything else raises, so that half an answer is never taken for one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from rag_runtime import logs
from rag_runtime.contracts import headers
from rag_runtime.contracts.routing import GeneratorRoute
from rag_runtime.retry import RetryBudget

from .deadline import Deadline
from .errors import DeadlineExceededError, UnavailableError, UpstreamError, UpstreamInvalidError

logger = logging.getLogger(__name__)

CHAT_PATH = "/v1/chat/completions"
TOKENIZE_PATH = "/tokenize"
# For counting tokens: the prompt's length is bounded without it, so it is not waited for long.
TOKENIZE_SECONDS = 2.0
# One event; an answer of this many bytes without a line's end is something else.
MAX_LINE_BYTES = 1024 * 1024
# Of one prompt: it may be what its generator goes away for, and must not end one after the other.
ATTEMPTS = 3
# Before another one: a Service needs a moment to forget a pod that is gone, and those who lost one must not all come back at once.
RETRY_PAUSE_SECONDS = 0.05
_RETRYABLE = frozenset({429, 500, 502, 503, 504})
# A kept connection stays with its pod: it would bring new work to one that drains, and none to one that was just added. Beside a
# generation a connection costs nothing, without TLS.
_NOT_KEPT = {"connection": "close"}


class BrokenOffError(UpstreamInvalidError):
    """The generator went away in the middle: before the first token, another one may answer."""

    code = "generator_interrupted"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds until the first token, and between two."""

    first_token: float
    token: float


class Completion:
    """A generation under way; read `pieces` once, and `close` it in any case. `finish_reason` and `usage` are known at the end."""

    def __init__(self, response: aiohttp.ClientResponse, deadline: Deadline, token_timeout: float) -> None:
        self._response = response
        self._deadline = deadline
        self.token_timeout = token_timeout
        self._first = ""
        self._held = b""
        self._ended = False
        self._broken: UpstreamError | None = None
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None

    async def start(self) -> Completion:
        """Wait for the first token, or for an empty answer's end."""
        self._first = await self._next() or ""
        return self

    async def pieces(self) -> AsyncIterator[str]:
        """All text, the first token included. Raises an `UpstreamError` when the stream breaks."""
        piece: str | None = self._first
        while piece is not None:
            yield piece
            piece = await self._next()

    def close(self) -> None:
        """Let go of the connection; a generation that still runs is aborted by the server."""
        self._response.close()

    async def _next(self) -> str | None:
        """The text that has arrived, in one piece; None when the generator has finished."""
        while not self._ended:
            if text := self._texts(await self._lines()):
                return text
        if self._broken is not None:
            raise self._broken
        if self.finish_reason is None:
            raise BrokenOffError("the generator stopped in the middle of the answer")
        return None

    def _texts(self, lines: list[bytes]) -> str:
        """The text of all lines. What broke the stream is raised after the text before it, however both were cut into packets."""
        texts: list[str] = []
        for line in lines:
            try:
                texts.append(self._text(line))
            except UpstreamInvalidError as error:
                self._broken, self._ended = error, True
                break
        return "".join(texts)

    def _text(self, line: bytes) -> str:
        """What one line of the stream adds to the answer."""
        if self._ended or not line.startswith(b"data:"):
            return ""
        event = _parsed(line[5:].strip())
        if event is None:
            self._ended = True
            return ""
        try:
            self.usage = event.get("usage") or self.usage
            choice = (event.get("choices") or [{}])[0]
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            content = (choice.get("delta") or {}).get("content") or ""
        except (AttributeError, KeyError, TypeError) as error:
            raise UpstreamInvalidError("the generator's events are not OpenAI's", code="generator_invalid") from error
        if not isinstance(content, str):  # parts, as some models of others give them, are not told apart from their thoughts
            raise UpstreamInvalidError("the generator's events are not OpenAI's: content is no text", code="generator_invalid")
        return content

    async def _lines(self) -> list[bytes]:
        """The lines that have arrived whole: one wait for what may be many tokens."""
        patience = self._deadline.within(self.token_timeout).remaining("generating")
        try:
            async with asyncio.timeout(patience):
                part = await self._response.content.readany()
        except TimeoutError as error:
            raise DeadlineExceededError(f"the generator was silent for {patience:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenOffError("the generator broke off") from error
        self._ended = not part
        *lines, self._held = (self._held + part).split(b"\n")
        if len(self._held) > MAX_LINE_BYTES:
            raise UpstreamInvalidError("the generator's stream is not made of events", code="generator_invalid")
        return lines


class GeneratorClient:
    """Generates with one route's model."""

    def __init__(
        self,
        route: GeneratorRoute,
        session: aiohttp.ClientSession,
        budget: RetryBudget,
        timeouts: Timeouts,
        api_key: Callable[[], str | None],
    ) -> None:
        self.route = route
        self._session = session
        self._budget = budget
        self._timeouts = timeouts
        self._api_key = api_key

    async def count(self, messages: list[dict[str, str]], deadline: Deadline) -> int | None:
        """Tokens of the rendered messages by the server's own tokenizer; None when it does not say."""
        body = orjson.dumps({"model": self.route.model, "messages": messages, "add_generation_prompt": True})
        waiting = deadline.within(TOKENIZE_SECONDS)
        try:
            timeout = aiohttp.ClientTimeout(total=waiting.remaining("counting tokens"))
            async with self._post(TOKENIZE_PATH, body, waiting, timeout) as response:
                count = orjson.loads(await response.read())["count"] if response.status == 200 else None
        except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
            return None
        return count if isinstance(count, int) and count > 0 else None

    async def complete(self, messages: list[dict[str, str]], sampling: Mapping[str, Any], deadline: Deadline) -> Completion:
        """Start generating and wait for the first token. Raises an `UpstreamError`; then nothing was generated that anybody saw."""
        body = orjson.dumps(
            {"model": self.route.model, "messages": messages, **sampling, "stream": True, "stream_options": {"include_usage": True}}
        )
        first_token = deadline.within(self._timeouts.first_token)
        self._budget.earn()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._start(body, first_token, deadline)
            except UnavailableError:
                pause = random.uniform(RETRY_PAUSE_SECONDS, 2 * RETRY_PAUSE_SECONDS)
                if attempt == ATTEMPTS or first_token.remaining("asking the generator again") <= pause or not self._budget.spend():
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _post(self, path: str, body: bytes, deadline: Deadline, timeout: aiohttp.ClientTimeout) -> Any:
        named = {
            "content-type": "application/json",
            headers.DEADLINE: str(int(deadline.remaining("generating") * 1000)),
            headers.REQUEST_ID: logs.bound("request_id"),
            "authorization": f"Bearer {key}" if (key := self._api_key()) else None,
        }
        once = _NOT_KEPT if self.route.url.startswith("http://") else {}
        return self._session.post(
            self.route.url.rstrip("/") + path,
            data=body,
            headers={name: value for name, value in named.items() if value is not None} | once,
            timeout=timeout,
            allow_redirects=False,  # a redirect could carry the question and the key to another host
        )

    async def _start(self, body: bytes, first_token: Deadline, deadline: Deadline) -> Completion:
        patience = first_token.remaining("waiting for the first token")
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(patience):
                response = await self._post(CHAT_PATH, body, deadline, aiohttp.ClientTimeout(total=None))
                if response.status != 200:
                    raise _refusal(response.status, await response.content.read(2_048))
                # Until the first token its own time is the limit, which is longer than that between two.
                completion = await Completion(response, deadline, patience).start()
        except BaseException as error:
            if response is not None:
                response.close()
            raise _not_started(error) from error
        completion.token_timeout = self._timeouts.token
        return completion


def _not_started(error: BaseException) -> BaseException:
    """A generation that failed before its first token: nobody saw anything of it, so all is as if it had not begun."""
    if isinstance(error, TimeoutError):
        return DeadlineExceededError("the generator gave no token in time")
    if isinstance(error, aiohttp.ClientError | OSError):
        return UnavailableError("the generator cannot be reached", code="generator_unavailable")
    if isinstance(error, BrokenOffError):
        return UnavailableError("the generator went away before its first token", code=error.error_code)
    return error


def _parsed(data: bytes) -> dict[str, Any] | None:
    if data == b"[DONE]":
        return None
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UpstreamInvalidError("the generator's stream is not JSON", code="generator_invalid") from error
    if not isinstance(event, dict) or event.get("error") is not None:
        raise UpstreamInvalidError("the generator reported an error in the middle of the answer", code="generator_interrupted")
    return event


def _refusal(status: int, body: bytes) -> UpstreamError:
    logger.warning("the generator refused", extra={"status": status, "reason": body[:300].decode(errors="replace")})
    if status in _RETRYABLE:
        return UnavailableError(f"the generator is not available (HTTP {status})", code="generator_unavailable")
    return UpstreamInvalidError(f"the generator refused the prompt (HTTP {status})", code="generator_rejected")
