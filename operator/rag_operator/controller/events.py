"""Events of transitions: each is made once, under a name that is the same when a pass that died is repeated."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rag_operator import errors, metrics, names
from rag_operator.api.v1alpha1.status import RAGPipelineStatus
from rag_operator.controller.observe import Seen
from rag_operator.kube.client import Client
from rag_operator.kube.resources import EVENTS
from rag_operator.model.plan import Note

log = logging.getLogger(__name__)

_TOLD: Final = ("Ready", "Stalled", "SpecValid", "IndexFresh", "ScalingReady")
_GOOD: Final = {"Stalled": "False"}
# What nobody has to be told of a pipeline that was just made.
_FIRST: Final = {"Ready": "False", "Stalled": "False"}
_LONGEST: Final = 1000
_REMEMBERED: Final = 1000


def transitions(before: RAGPipelineStatus, after: RAGPipelineStatus) -> list[Note]:
    """What changed between two statuses that people should hear about."""
    known: dict[str, str] = {condition.type: condition.status for condition in before.conditions}
    found = []
    for condition in after.conditions:
        good = _GOOD.get(condition.type, "True")
        earlier = known.get(condition.type, "Unknown")
        if earlier == "Unknown":
            earlier = _FIRST.get(condition.type, good)
        told = condition.type in _TOLD and condition.status not in ("Unknown", earlier)
        if told:
            warning = condition.status != good
            reason = condition.reason if warning else condition.type
            found.append(Note(reason, condition.message or f"{condition.type} is {condition.status}", warning))
    return found


class Herald:
    """Makes the Events, and counts the transitions that they tell of."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._counted: deque[str] = deque(maxlen=_REMEMBERED)  # by the name of the Event, whether or not there is one

    async def post(self, seen: Seen, notes: Iterable[Note], now: float) -> None:
        """Make an Event of each note. Failing to is logged and nothing else: an Event is news, and what it tells has happened."""
        for note in dict.fromkeys(notes):
            log.info(note.message, extra={"reason": note.reason, "pipeline": seen.key.name, "namespace": seen.key.namespace})
            event = _event(seen, note, now)
            try:
                await self._client.create(event)
            except errors.Conflict:
                continue  # told by a pass that died before it recorded that
            except errors.ApiError as error:
                log.warning("failed to post an event: %s", error)
            self._count(note, event["metadata"]["name"])

    def _count(self, note: Note, event: str) -> None:
        # A server that refuses the Event may refuse the status, too: then the same transition comes again, under the same name.
        if event not in self._counted:
            self._counted.append(event)
            metrics.TRANSITIONS.labels(note.reason).inc()


def _event(seen: Seen, note: Note, now: float) -> dict[str, Any]:
    meta: Mapping[str, Any] = seen.body["metadata"]
    # The version of the object that led to the note: the same when the pass is repeated, another at the next transition.
    digest = hashlib.sha256(f"{meta['uid']}/{meta['resourceVersion']}/{note.reason}/{note.message}".encode()).hexdigest()[:16]
    time = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": f"{seen.key.name}.{digest}", "namespace": seen.key.namespace},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": names.PIPELINE_KIND,
            "name": seen.key.name,
            "namespace": seen.key.namespace,
            "uid": meta["uid"],
        },
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "message": note.message[:_LONGEST],
        "source": {"component": names.FIELD_MANAGER},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
