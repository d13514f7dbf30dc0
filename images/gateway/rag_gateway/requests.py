"""What clients may ask, parsed once. Pure.

A parameter that is not supported is refused by its name: an answer that ignores `tools` or `response_format` answers another question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from rag_runtime.contracts.routing import Retrieval

from .errors import BadRequestError
from .prompt import Turn

MAX_K = 1_000
MAX_QUERY_BYTES = 64 * 1024
MAX_MESSAGES = 1_000
# OpenAI takes 0, which vLLM refuses; the likeliest token alone is within either.
LEAST_TOP_P = 1e-6

GroupBy = Literal["chunk", "document"]


@dataclass(frozen=True, slots=True)
class RetrieveRequest:
    """Passages wanted; `k` None means the revision's own."""

    query: str
    k: int | None
    group_by: GroupBy
    filter: Any


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """An answer wanted. `sampling` holds what the client set of the generator's parameters."""

    system: str
    turns: tuple[Turn, ...]
    question: str
    k: int | None
    filter: Any
    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    user: str | None = None
    max_tokens: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def search_text(self, retrieval: Retrieval) -> str:
        """What is embedded. Later turns come first, for a text beyond the model's limit is cut at its end."""
        if retrieval.query == "LastMessage":
            return self.question
        earlier = [turn.content for turn in self.turns if turn.role == "user"]
        return "\n".join([self.question, *reversed(earlier)][: retrieval.turns])


def body_of(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises `BadRequestError`."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is not valid JSON in UTF-8: {error}", code="invalid_json") from error
    if not isinstance(body, dict):
        raise BadRequestError("the body is not a JSON object", code="invalid_json")
    return body


def retrieve_request(body: dict[str, Any]) -> RetrieveRequest:
    """`{query, k, groupBy, filter}`."""
    _refuse_others(body, ("query", "k", "groupBy", "filter", "user"))
    group_by: Any = "chunk" if body.get("groupBy") is None else body["groupBy"]
    if group_by not in ("chunk", "document"):
        raise BadRequestError(f"groupBy: {group_by!r} is not known, allowed: chunk, document", param="groupBy")
    return RetrieveRequest(_text(body, "query"), _k(body, "k"), group_by, body.get("filter"))


def query_request(body: dict[str, Any]) -> ChatRequest:
    """`{query, k, filter}`: one question without a conversation."""
    _refuse_others(body, ("query", "k", "filter", "user"))
    return ChatRequest("", (), _text(body, "query"), _k(body, "k"), body.get("filter"), user=_user(body))


def chat_request(body: dict[str, Any]) -> ChatRequest:
    """OpenAI's chat completion, with `rag: {k, filter}` beside it."""
    _refuse_others(body, _CHAT_PARAMETERS)
    if body.get("n") not in (None, 1):
        raise BadRequestError(f"n: {body['n']!r} is not supported, allowed: 1", param="n", code="unsupported_value")
    rag = body.get("rag") or {}
    if not isinstance(rag, dict):
        raise BadRequestError("rag: not an object, allowed: k, filter", param="rag")
    _refuse_others(rag, ("k", "filter"), "rag.")
    system, turns, question = _conversation(body.get("messages"))
    stream = _flag(body, "stream")
    return ChatRequest(
        system=system,
        turns=turns,
        question=question,
        k=_k(rag, "k", "rag."),
        filter=rag.get("filter"),
        model=_optional_text(body, "model"),
        stream=stream,
        include_usage=_include_usage(body.get("stream_options"), stream),
        user=_user(body),
        max_tokens=_max_tokens(body),
        sampling={name: check(body[name], name) for name, check in _SAMPLING.items() if body.get(name) is not None},
    )


def _refuse_others(body: Mapping[str, Any], supported: tuple[str, ...], prefix: str = "") -> None:
    for name in body:
        if name not in supported and body[name] is not None:
            allowed = ", ".join(prefix + each for each in supported)
            raise BadRequestError(
                f"{prefix}{name}: this parameter is not supported, allowed: {allowed}", param=prefix + name, code="unsupported_parameter"
            )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadRequestError(f"{name}: a text that is not empty is required", param=name)
    if len(value) > MAX_QUERY_BYTES:
        raise BadRequestError(f"{name}: {len(value)} characters, allowed: at most {MAX_QUERY_BYTES}", param=name)
    return value


def _optional_text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"{name}: {value!r:.60} is not a text", param=name)
    return value


def _user(body: Mapping[str, Any]) -> str | None:
    return _optional_text(body, "user") or None


def _k(body: Mapping[str, Any], name: str, prefix: str = "") -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_K):
        raise BadRequestError(f"{prefix}{name}: {value!r:.60} is not a number from 1 to {MAX_K}", param=prefix + name)
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequestError(f"{name}: {value!r:.60} is not true or false", param=name)
    return bool(value)


def _include_usage(options: Any, stream: bool) -> bool:
    if options is None:
        return False
    if not isinstance(options, dict) or not stream:
        raise BadRequestError("stream_options: an object, and only with stream: true", param="stream_options")
    _refuse_others(options, ("include_usage",), "stream_options.")
    return _flag(options, "include_usage")


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    value = body.get("max_completion_tokens")
    name = "max_tokens" if value is None else "max_completion_tokens"
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise BadRequestError(f"{name}: {value!r:.60} is not a number of at least 1", param=name)
    return value


def _number(low: float, high: float) -> Callable[[Any, str], float]:
    def check(value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
            raise BadRequestError(f"{name}: {value!r:.60} is not a number from {low:g} to {high:g}", param=name)
        return value

    return check


def _top_p(value: Any, name: str) -> float:
    return max(_number(0, 1)(value, name), LEAST_TOP_P)


def _seed(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise BadRequestError(f"{name}: {value!r:.60} is not a 64-bit integer", param=name)
    return value


def _stop(value: Any, name: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not 1 <= len(values) <= 4 or not all(isinstance(each, str) and each for each in values):
        raise BadRequestError(f"{name}: {value!r:.60} is not a text or a list of 1 to 4 texts", param=name)
    return values


_SAMPLING: dict[str, Callable[[Any, str], Any]] = {
    "temperature": _number(0, 2),
    "top_p": _top_p,
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "seed": _seed,
    "stop": _stop,
}
_CHAT_PARAMETERS = (
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "user", "rag", *_SAMPLING,
)  # fmt: skip


def _conversation(messages: Any) -> tuple[str, tuple[Turn, ...], str]:
    """System text, earlier turns, and the question, which is the last message."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise BadRequestError(f"messages: a list of 1 to {MAX_MESSAGES} messages is required", param="messages")
    parsed = [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
    last = parsed[-1]
    if last.role != "user" or not last.content.strip():
        raise BadRequestError("messages: the last must be the user's and not empty", param=f"messages[{len(parsed) - 1}]")
    if len(last.content) > MAX_QUERY_BYTES:
        raise BadRequestError(f"messages: the last has {len(last.content)} characters, allowed: {MAX_QUERY_BYTES}", param="messages")
    system = "\n\n".join(turn.content for turn in parsed if turn.role == "system")
    return system, tuple(turn for turn in parsed[:-1] if turn.role != "system"), last.content


def _message(message: Any, path: str) -> Turn:
    if not isinstance(message, dict):
        raise BadRequestError(f"{path}: not an object", param=path)
    _refuse_others(message, ("role", "content", "name"), f"{path}.")
    role = message.get("role")
    if role not in ("system", "developer", "user", "assistant"):
        raise BadRequestError(f"{path}.role: {role!r:.60} is not supported, allowed: system, developer, user, assistant", param=path)
    return Turn("system" if role == "developer" else role, _content(message.get("content"), f"{path}.content"))


def _content(content: Any, path: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequestError(f"{path}: a text or a list of text parts is required", param=path)
    for i, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise BadRequestError(f"{path}[{i}]: only parts of type text are supported", param=f"{path}[{i}]", code="unsupported_value")
    # As vLLM joins them: side by side, the last word of one and the first of the next would be one word.
    return "\n".join(part["text"] for part in content)
