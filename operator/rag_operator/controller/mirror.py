"""What the watches showed: the children of every pipeline, small, and never older than what we wrote ourselves.

Versions only grow: an event that is older than what is known (an echo of our own write, a late one) is ignored. What a watch lost is found
by comparing with a complete list (`sweep`). The mirror says what to look at; what must be exact is read from the server again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from rag_operator import names
from rag_operator.kube.child import Child, reduce
from rag_operator.kube.resources import INDEXES, PIPELINES, Resource

_REMEMBERED_DELETIONS = 10_000


class Key(NamedTuple):
    """A pipeline."""

    namespace: str
    name: str


class Head(NamedTuple):
    """A pipeline as the mirror knows it; passes read the whole."""

    uid: str
    version: int
    generation: int
    verbs: Mapping[str, str]
    deleting: bool

    def asks_for_more_than(self, before: Head | None) -> bool:
        """Whether a person changed something: not just its status."""
        return before is None or self[2:] != before[2:] or self.uid != before.uid


class Mirror:
    """Children by pipeline. One event loop only."""

    def __init__(self) -> None:
        self.pipelines: dict[Key, Head] = {}
        self.out_of_reach: set[str] = set()  # namespaces that may not be listed: what is known of them is old, or not all
        self._children: dict[Key, dict[tuple[str, str], Child]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._overtaken: set[Key] = set()

    def children(self, key: Key) -> dict[tuple[str, str], Child]:
        """Children by kind and name."""
        return dict(self._children.get(key, {}))

    def keys(self) -> set[Key]:
        """Every pipeline that was seen, or has children."""
        return {*self.pipelines, *self._children}

    def put(self, resource: Resource, body: Mapping[str, Any], *, ours: bool = False) -> Key | None:
        """Take in an object that exists. Returns the pipeline to look at, or `None` when this is nothing new.

        `ours`: it is the answer to a write of what we want of it.
        """
        if resource is PIPELINES:
            return self._put_pipeline(body)
        child = reduce(resource, body)
        key = Key(child.namespace, child.pipeline)
        if not child.pipeline or child.uid in self._gone:
            return None
        known = self._children.get(key, {}).get((child.kind, child.name))
        if known is not None and known.version >= child.version:
            return None
        applied = child.generation if ours else known.applied if known is not None and known.uid == child.uid else 0
        self._children.setdefault(key, {})[child.kind, child.name] = replace(child, applied=applied)
        return key

    def answered(self, resource: Resource, body: Mapping[str, Any], *, spec: bool) -> None:
        """Take in the answer to a write of our own: to its spec, or to its status.

        What others reported between our look and our write is in it, and the event of that will look old: it is kept for `overtaken`.
        """
        meta = body["metadata"]
        key = Key(meta.get("namespace", ""), (meta.get("labels") or {}).get(names.LABEL_PIPELINE, ""))
        before = self._children.get(key, {}).get((resource.kind, meta["name"]))
        if self.put(resource, body, ours=spec) is None or resource is PIPELINES:
            return
        if _reported(self._children[key][resource.kind, meta["name"]]) != (_reported(before) if before is not None else {}):
            self._overtaken.add(key)

    def overtaken(self, key: Key) -> bool:
        """Whether our own writes brought news that no event will bring any more. Asked once: then it counts as seen."""
        found = key in self._overtaken
        self._overtaken.discard(key)
        return found

    def remove(self, resource: Resource, body: Mapping[str, Any]) -> Key | None:
        """Take out an object that was deleted. Returns the pipeline to look at."""
        meta = body["metadata"]
        self._bury(meta["uid"])
        if resource is PIPELINES:
            key = Key(meta["namespace"], meta["name"])
            known = self.pipelines.get(key)
            if known is not None and known.uid == meta["uid"]:
                del self.pipelines[key]
            return key
        key = Key(meta.get("namespace", ""), (meta.get("labels") or {}).get(names.LABEL_PIPELINE, ""))
        return self._drop(key, resource.kind, meta["name"], meta["uid"])

    def asked(self, body: Mapping[str, Any]) -> bool:
        """Whether a pipeline's object asks for something that the mirror does not know yet."""
        meta = body["metadata"]
        return head(body).asks_for_more_than(self.pipelines.get(Key(meta["namespace"], meta["name"])))

    def sweep(self, resource: Resource, gone: set[str], *, as_of: int | None) -> Iterator[Key]:
        """Take out objects that a complete list did not have, by UID.

        `as_of`: the list's resourceVersion, `None` when the kind is not served. What is known from later lived after it: the list was old.
        """
        for key, kind, name, uid, version in list(self._all(resource)):
            if uid not in gone or (as_of is not None and version > as_of):
                continue
            self._bury(uid)
            if resource is PIPELINES:
                self.pipelines.pop(key, None)
            else:
                self._drop(key, kind, name, uid)
            yield key

    def uids(self, resource: Resource, namespace: str | None = None) -> set[str]:
        """UIDs of all objects of a kind, in one or all namespaces."""
        return {uid for key, _, _, uid, _ in self._all(resource) if namespace in (None, key.namespace)}

    def forget(self, key: Key) -> None:
        """Drop a pipeline that has neither an object nor children."""
        if key not in self.pipelines and not self._children.get(key):
            self._children.pop(key, None)

    def _all(self, resource: Resource) -> Iterator[tuple[Key, str, str, str, int]]:
        if resource is PIPELINES:
            yield from ((key, PIPELINES.kind, key.name, known.uid, known.version) for key, known in self.pipelines.items())
            return
        for key, children in self._children.items():
            yield from ((key, kind, name, child.uid, child.version) for (kind, name), child in children.items() if kind == resource.kind)

    def _put_pipeline(self, body: Mapping[str, Any]) -> Key | None:
        meta = body["metadata"]
        key = Key(meta["namespace"], meta["name"])
        new, known = head(body), self.pipelines.get(key)
        if new.uid in self._gone or (known is not None and known.uid == new.uid and known.version >= new.version):
            return None
        self.pipelines[key] = new
        return key if new.asks_for_more_than(known) else None

    def _drop(self, key: Key, kind: str, name: str, uid: str) -> Key | None:
        children = self._children.get(key, {})
        known = children.get((kind, name))
        if known is None or known.uid != uid:
            return None
        del children[kind, name]
        return key

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)


def _reported(child: Child) -> dict[str, Any]:
    """What others say of an object: its status; of an index without the conditions, which are ours."""
    ours = ("conditions",) if child.kind == INDEXES.kind else ()
    return {field: value for field, value in child.status().items() if field not in ours}


def head(body: Mapping[str, Any]) -> Head:
    """What the mirror keeps of a pipeline's object."""
    meta = body["metadata"]
    verbs = {key: value for key, value in (meta.get("annotations") or {}).items() if key in names.VERBS}
    return Head(meta["uid"], int(meta["resourceVersion"]), meta.get("generation", 0), verbs, "deletionTimestamp" in meta)
