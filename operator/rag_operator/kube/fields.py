"""What server-side apply recorded about us: whether every field of an intent is still ours.

`fieldsV1` is a tree: `f:<name>` a field, `k:{...}` a list item by its keys, `v:...` a member of a set, `{}` a leaf or something that
is owned as a whole. When another manager changes a field of ours, it leaves our entry: that shows drift without comparing values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rag_operator import names

# Fields of a manifest that name the object and are never recorded.
_NAMING = frozenset({"apiVersion", "kind"})
_NAMING_METADATA = frozenset({"name", "namespace"})


def entry(body: Mapping[str, Any], manager: str = names.FIELD_MANAGER) -> dict[str, Any]:
    """Our `fieldsV1` of the object itself, empty when we never applied it."""
    for found in body["metadata"].get("managedFields") or ():
        if found.get("manager") == manager and found.get("operation") == "Apply" and not found.get("subresource"):
            return found.get("fieldsV1") or {}
    return {}


def lost(manifest: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """The path of the first field of the manifest that is not ours, or `None` when all are."""
    top = {key: value for key, value in manifest.items() if key not in _NAMING}
    top["metadata"] = {key: value for key, value in manifest["metadata"].items() if key not in _NAMING_METADATA}
    return _lost_in_map(top, ours, "")


def _lost_in_map(value: Mapping[str, Any], ours: Mapping[str, Any], path: str) -> str | None:
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        node = ours.get(f"f:{key}")
        if node is None:
            if item in (None, {}, []):
                continue  # the server drops what is empty
            return where
        found = _lost(item, node, where)
        if found:
            return found
    return None


def _lost(value: Any, node: Mapping[str, Any], path: str) -> str | None:
    if not node:
        return None  # a leaf, or owned as a whole
    if isinstance(value, Mapping):
        return _lost_in_map(value, node, path)
    if isinstance(value, list):
        return _lost_in_list(value, node, path)
    return None


def _lost_in_list(items: list[Any], node: Mapping[str, Any], path: str) -> str | None:
    keyed = [(orjson.loads(key[2:]), child) for key, child in node.items() if key.startswith("k:")]
    members = {key[2:] for key in node if key.startswith("v:")}
    for position, item in enumerate(items):
        where = f"{path}[{position}]"
        if not isinstance(item, Mapping):
            if members and orjson.dumps(item).decode() not in members:
                return where
            continue
        child = _item(item, keyed)
        if child is None:
            return where
        found = _lost(item, child, where)
        if found:
            return found
    return None


def _item(item: Mapping[str, Any], keyed: list[tuple[dict[str, Any], Any]]) -> Mapping[str, Any] | None:
    """The node of a list item. A key that the manifest leaves to its default (a port's protocol) matches anything."""
    for keys, child in keyed:
        if all(item.get(name, value) == value for name, value in keys.items()):
            return child  # type: ignore[no-any-return]
    return None
