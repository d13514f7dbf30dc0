"""The provisioner looks at everything and does what is missing."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

from cluster.provisioner import PROVISIONER, Api, await_change, reconcile

Json = dict[str, Any]
CLASSES = [
    {"metadata": {"name": "standard"}, "provisioner": PROVISIONER},
    {"metadata": {"name": "foreign"}, "provisioner": "else"},
]


class Recorded(Api):
    """Answers lists from memory and writes down everything else."""

    def __init__(self, claims: list[Json], volumes: list[Json]) -> None:
        self._lists = {"storageclasses": CLASSES, "persistentvolumeclaims": claims, "persistentvolumes": volumes}
        self.calls: list[tuple[str, str, Json | None]] = []

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        if method == "GET":
            return {"items": self._lists[path.rpartition("/")[2]]}
        self.calls.append((method, path, body))
        return {}


def claim(phase: str = "Pending", storage_class: str = "standard", size: str = "1Gi", **status: Any) -> Json:
    return {
        "metadata": {"name": "data", "namespace": "search", "uid": "u1"},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
        "status": {"phase": phase, **status},
    }


def volume(phase: str, policy: str = "Delete", storage_class: str = "standard") -> Json:
    spec = {"storageClassName": storage_class, "persistentVolumeReclaimPolicy": policy}
    return {"metadata": {"name": "pvc-u1"}, "spec": spec, "status": {"phase": phase}}


def test_a_waiting_claim_gets_a_directory_that_anybody_may_write_and_a_volume_bound_to_it(tmp_path: Path) -> None:
    api = Recorded([claim()], [])
    reconcile(api, tmp_path)
    [(method, path, body)] = api.calls
    assert (method, path) == ("POST", "/api/v1/persistentvolumes")
    assert body
    assert body["spec"]["hostPath"]["path"] == str(tmp_path / "pvc-u1")
    assert (body["spec"]["claimRef"]["uid"], body["spec"]["capacity"]) == ("u1", {"storage": "1Gi"})
    assert (tmp_path / "pvc-u1").stat().st_mode & 0o777 == 0o777


@pytest.mark.parametrize(
    "waiting",
    [claim(storage_class="foreign"), claim(phase="Bound", capacity={"storage": "1Gi"}), claim(phase="Lost")],
)
def test_claims_of_others_or_with_a_volume_are_left_alone(tmp_path: Path, waiting: Json) -> None:
    api = Recorded([waiting], [volume("Bound")])
    reconcile(api, tmp_path)
    assert api.calls == []
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_is_being_deleted_gets_no_volume(tmp_path: Path) -> None:
    going = claim()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api = Recorded([going], [])
    reconcile(api, tmp_path)
    assert api.calls == []


def test_a_bound_claim_that_asks_for_more_gets_it(tmp_path: Path) -> None:
    api = Recorded([claim(phase="Bound", size="2Gi", capacity={"storage": "1Gi"})], [volume("Bound")])
    reconcile(api, tmp_path)
    assert [(method, body) for method, _, body in api.calls] == [
        ("PATCH", {"spec": {"capacity": {"storage": "2Gi"}}}),
        ("PATCH", {"status": {"capacity": {"storage": "2Gi"}}}),
    ]


def test_a_released_volume_goes_with_its_data(tmp_path: Path) -> None:
    (tmp_path / "pvc-u1").mkdir()
    (tmp_path / "pvc-u1/file").touch()
    api = Recorded([], [volume("Released")])
    reconcile(api, tmp_path)
    assert api.calls == [("DELETE", "/api/v1/persistentvolumes/pvc-u1", None)]
    assert not (tmp_path / "pvc-u1").exists()


@pytest.mark.parametrize("kept", [volume("Released", policy="Retain"), volume("Bound"), volume("Released", storage_class="foreign")])
def test_a_volume_that_is_retained_used_or_foreign_stays(tmp_path: Path, kept: Json) -> None:
    (tmp_path / "pvc-u1").mkdir()
    api = Recorded([], [kept])
    reconcile(api, tmp_path)
    assert api.calls == []
    assert (tmp_path / "pvc-u1").exists()


def test_one_look_serves_all_events_so_far_and_a_failed_one_is_repeated_without_any() -> None:
    changed: queue.Queue[str] = queue.Queue()
    for event in ("claims", "volumes"):
        changed.put(event)
    await_change(changed, None)
    assert changed.empty()
    await_change(changed, 0.01)
