"""What decides whether a disturbed run was right: the end state, how often objects were made, ownership, quiet, honesty."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from integration.operator.proxy import Write
from rag_operator import names

Objects = Mapping[tuple[str, str], dict[str, Any]]

STRANGER = "stranger"  # an object of somebody else that carries a pipeline's label
_VOLATILE = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")
_RANDOM = re.compile(r"rag_[0-9a-f]{10}_[0-9a-f]{8}")
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ADDRESSES = ("clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort")


def end_state(objects: Objects, uid: str) -> dict[tuple[str, str], Any]:
    """Objects without what differs by nature: versions, times, addresses, the pipeline's UID, random names, statuses of others."""
    return {key: _masked(key[0], copy.deepcopy(body), uid) for key, body in objects.items()}


def differences(reference: Mapping[tuple[str, str], Any], found: Mapping[tuple[str, str], Any]) -> list[str]:
    """The first difference of every object."""
    said = [f"missing: {key}" for key in sorted(reference.keys() - found.keys())]
    said += [f"left over: {key}" for key in sorted(found.keys() - reference.keys())]
    for key in sorted(reference.keys() & found.keys()):
        where = first_difference(reference[key], found[key], "")
        if where:
            said.append(f"{key}: {where}")
    return said


def too_often(reference: tuple[Counter[str], Counter[str]], found: tuple[Counter[str], Counter[str]]) -> list[str]:
    """Objects that were made or deleted more often than in the reference."""
    said = []
    for what, before, after in zip(("made", "deleted"), reference, found, strict=True):
        said += [
            f"{what} {count} times, not {before.get(name, 0)}: {name}"
            for name, count in after.items()
            if count > max(before.get(name, 0), 1)
        ]
    return said


def unowned(objects: Objects, uid: str) -> list[str]:
    """Children that nobody would clean up, or that were not applied by us."""
    said = []
    for (kind, name), body in objects.items():
        owners = [owner for owner in body["metadata"].get("ownerReferences") or () if owner.get("controller")]
        if name == STRANGER:
            continue
        kept = kind in ("PersistentVolumeClaim", "Milvus")
        if not kept and (len(owners) != 1 or owners[0]["uid"] != uid):
            said.append(f"{kind} {name} is not controlled by its pipeline")
        if names.FIELD_MANAGER not in {entry["manager"] for entry in body["metadata"].get("managedFields") or ()}:
            said.append(f"{kind} {name} was not written by {names.FIELD_MANAGER}")
    return said


def dishonest(body: Mapping[str, Any]) -> list[str]:
    """What a status says that cannot be so."""
    status = body.get("status") or {}
    said = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    if not said:
        return []
    wrong = []
    if "True" not in (said["Ready"], said["Reconciling"], said["Stalled"]):
        wrong.append("none of Ready, Reconciling and Stalled is True")
    if status["phase"] == "Ready" and said["Ready"] != "True":
        wrong.append("the phase is Ready, the condition is not")
    if said["Reconciling"] == "True" and said["Stalled"] == "True":
        wrong.append("it reconciles and is stalled")
    return wrong


def _masked(kind: str, body: dict[str, Any], uid: str) -> Any:
    meta = body["metadata"]
    for field in _VOLATILE:
        meta.pop(field, None)
    body.pop("status", None)
    if kind == "Job":
        # The API server writes the Job's own UID into its selector and its pods' labels.
        body["spec"].pop("selector", None)
        body["spec"]["template"]["metadata"].pop("labels", None)
    return _walk(body, {uid: "UID", meta.pop("namespace"): "NAMESPACE"})


def _walk(value: Any, secret: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        hidden = (*_ADDRESSES, names.ANNOTATION_INTENT, "epoch")
        return {key: _walk(item, secret) for key, item in value.items() if key not in hidden}
    if isinstance(value, list):
        return [_walk(item, secret) for item in value]
    if isinstance(value, str):
        for name, mask in secret.items():
            value = value.replace(name, mask)
        text = _TIMES.sub("TIME", _RANDOM.sub("rag_RANDOM", value))
        return re.sub(r'"epoch":\d+', '"epoch":N', re.sub(r'"salt":"[^"]*"', '"salt":"S"', text))
    return value


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                return f"{path}.{key}: {one.get(key)!r} against {other.get(key)!r}"[:300]
            if found := first_difference(one[key], other[key], f"{path}.{key}"):
                return found
        return None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(
            (found for n, pair in enumerate(zip(one, other, strict=True)) if (found := first_difference(*pair, f"{path}[{n}]"))), None
        )
    return None if one == other else f"{path}: {one!r} against {other!r}"[:300]


class Safety:
    """What must hold at every single write, whatever comes after it."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.deleting = False  # the pipeline is: then its data go, whatever its table says
        self._table = ""
        self._recorded = False

    def __call__(self, write: Write) -> None:
        """Look at a write before the server does."""
        *_, plural, name = write.path.split("/")[:9] if write.method != "POST" else (*write.path.split("/"), "")
        if plural == "configmaps" and name.endswith("-routing") and write.method != "DELETE":
            self._table = str((write.body.get("data") or {}).get("table.json", ""))
        if plural == "controllerrevisions":
            self._recorded = True
        if write.method == "DELETE" and plural in ("deployments", "services") and f"//{name}." in self._table:
            self.broken.append(f"{plural} {name} is deleted while the routing table names it")
        self._index(plural, write)
        if plural in ("deployments", "ragindexes") and not self._recorded and _kind(write) in ("embedder", "index", "generator"):
            self.broken.append(f"{plural} {name} is written before the record of its revision")

    def _index(self, plural: str, write: Write) -> None:
        spec = write.body.get("spec") or {}
        going = spec.get("collecting") or (spec.get("work") or {}).get("mode") == "Drop"
        if plural == "ragindexes" and going and not self.deleting and f'"{spec.get("collection")}"' in self._table:
            self.broken.append(f"collection {spec.get('collection')} is dropped while the routing table names it")


def _kind(write: Write) -> str:
    labels = (write.body.get("metadata") or {}).get("labels") or {}
    return str(labels.get(names.LABEL_KIND, ""))
