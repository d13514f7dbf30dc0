"""What a verb's annotation must say, taken from the status so that people need not type hashes. Pure but for `send`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rag_operator import names
from rag_operator.api.v1alpha1.status import RAGPipelineStatus, Verb
from rag_operator.cli.connect import CommandError, Session
from rag_operator.cli.view import is_deleting, is_suspended, status_of
from rag_operator.rollout.verbs import LONGEST
from rag_operator.status.conditions import REJECTED, STALLED


@dataclass(frozen=True)
class Request:
    """An annotation to set."""

    annotation: str
    value: str

    @property
    def verb(self) -> str:
        """The annotation without its group."""
        return self.annotation.removeprefix(f"{names.GROUP}/")


@dataclass(frozen=True)
class Answer:
    """What became of a request, as far as the operator has said."""

    request: Request
    result: str = "Pending"
    message: str = ""


def promote(status: RAGPipelineStatus, nonce: str) -> Request:
    """Approve what the candidate waits for."""
    candidate = status.candidate
    if candidate is None:
        raise CommandError("nothing is rolled out")
    if not candidate.waiting_for:
        raise CommandError(f"revision {candidate.revision} waits for nothing; --full skips the remaining steps and gates")
    return Request(names.VERB_PROMOTE, f"{candidate.revision}/{candidate.waiting_for}/{nonce}")


def promote_full(status: RAGPipelineStatus, nonce: str) -> Request:
    """Skip the remaining steps and gates."""
    return Request(names.VERB_PROMOTE_FULL, f"{_candidate(status)}/{nonce}")


def abort(status: RAGPipelineStatus, nonce: str) -> Request:
    """Send all traffic back to stable and reject the candidate."""
    return Request(names.VERB_ABORT, f"{_candidate(status)}/{nonce}")


def retry(status: RAGPipelineStatus, nonce: str, revision: str | None = None) -> Request:
    """Try a rejected revision, or a gate that did not decide, again."""
    chosen = revision or (status.candidate.revision if status.candidate else _rejected(status))
    if chosen is None:
        raise CommandError("nothing was rejected and nothing is rolled out")
    return Request(names.VERB_RETRY, f"{chosen}/{nonce}")


def rollback(status: RAGPipelineStatus, nonce: str, to: str | None = None) -> Request:
    """Go back to the revision before; `to` is the one that is meant."""
    if status.retired is None:
        raise CommandError("there is no revision to roll back to: none was promoted, or rollback.window is over")
    if to is not None and to != status.retired.revision:
        raise CommandError(f"only revision {status.retired.revision} is kept for rollback, not {to}")
    return Request(names.VERB_ROLLBACK, f"{status.retired.revision}/{nonce}")


def reindex(nonce: str) -> Request:
    """Build the index anew beside the live one."""
    return Request(names.VERB_REINDEX, nonce)


def approve_deletions(status: RAGPipelineStatus, nonce: str) -> Request:
    """Let the stable index delete what its sources no longer list."""
    if status.stable is None or status.stable.index is None:
        raise CommandError("no index serves yet")
    return Request(names.VERB_APPROVE_DELETIONS, f"{status.stable.index}/{nonce}")


def _candidate(status: RAGPipelineStatus) -> str:
    if status.candidate is None:
        raise CommandError("nothing is rolled out")
    return status.candidate.revision


def _rejected(status: RAGPipelineStatus) -> str | None:
    # Of several it is the one that the spec asks for: to try another again would be done, and change nothing.
    rejected = [one.revision for one in status.rejected]
    stalled = next((one.message for one in status.conditions if one.type == STALLED and one.reason == REJECTED), "")
    return next((name for name in rejected if stalled.startswith(f"revision {name} ")), rejected[-1] if rejected else None)


def outcome(status: RAGPipelineStatus, request: Request) -> Verb | None:
    """Return what became of a request, `None` while the operator has not handled it."""
    told = request.value[:LONGEST]  # of a longer one, which is refused
    return next((verb for verb in status.verbs if verb.name == request.verb and verb.value == told), None)


async def send(session: Session, name: str, choose: Callable[[RAGPipelineStatus], Request], wait: float, pause: float = 0.2) -> Answer:
    """Annotate the pipeline and wait up to `wait` seconds for the operator's answer."""
    pipeline = await session.pipeline(name)
    if is_deleting(pipeline):
        raise CommandError(f"{name} is being deleted")
    request = choose(status_of(pipeline))
    await session.annotate(name, {request.annotation: request.value})
    if is_suspended(pipeline):
        return Answer(request, message=f"{name} is suspended; this is done once spec.suspend is false")
    deadline = asyncio.get_running_loop().time() + wait
    while asyncio.get_running_loop().time() < deadline:
        found = outcome(status_of(await session.pipeline(name)), request)
        if found is not None:
            return Answer(request, found.result, found.message)
        await asyncio.sleep(pause)
    return Answer(request)
