"""A volume provisioner for one node: a directory per claim that any user may write to.

The host-path provisioner of the controller manager makes directories that only root can enter, and `fsGroup` does not
change host paths, so a non-root pod could not write to its volume. This one runs on the host:

    python -m cluster.provisioner KUBECONFIG DIRECTORY

It is level-based: every event of a claim or a volume makes it look at all of them again.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import queue
import shutil
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

PROVISIONER = "ragops.dev/host-path"
_CLAIMS, _VOLUMES, _CLASSES = (
    "/api/v1/persistentvolumeclaims",
    "/api/v1/persistentvolumes",
    "/apis/storage.k8s.io/v1/storageclasses",
)
_RETRY_SECONDS = 1.0  # between tries while the API server is away: nobody tells when it is back
Json = dict[str, Any]


class Api:
    """Just enough of a client: JSON in and out, and watches."""

    def __init__(self, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._server = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            self._context.load_cert_chain(pair.name)

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """One request; a PATCH is a merge patch."""
        with self._open(method, path, body, timeout=30) as answer:
            content: Json = json.load(answer)
            return content

    def events(self, path: str) -> Iterator[Json]:
        """Events until the server closes the connection."""
        with self._open("GET", f"{path}?watch=true&timeoutSeconds=300", None, timeout=330) as answer:
            for line in answer:
                yield json.loads(line)

    def _open(self, method: str, path: str, body: Json | None, timeout: float) -> http.client.HTTPResponse:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._server + path, data, {"Content-Type": kind}, method=method)
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, context=self._context, timeout=timeout)
        return answer


def reconcile(api: Api, directory: Path) -> None:
    """Make volumes for claims that wait, grow them for claims that ask for more, delete the released ones."""
    classes = {item["metadata"]["name"] for item in api.call("GET", _CLASSES)["items"] if _is_ours(item)}
    volumes = {item["metadata"]["name"]: item for item in api.call("GET", _VOLUMES)["items"]}
    for claim in api.call("GET", _CLAIMS)["items"]:
        if claim["spec"].get("storageClassName") in classes:
            _serve_claim(api, directory, claim, volumes.get(volume_name(claim)))
    for volume in volumes.values():
        if volume["spec"].get("storageClassName") in classes:
            _serve_volume(api, directory, volume)


def volume_name(claim: Json) -> str:
    """Deterministic: a crash between making the directory and the volume leaks nothing."""
    return f"pvc-{claim['metadata']['uid']}"


def volume_for(claim: Json, directory: Path) -> Json:
    """The volume that a waiting claim gets, bound to it from the start."""
    metadata = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        # The annotation keeps the controller manager from deleting the volume itself, which it would not know how to do.
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"]["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": str(directory / volume_name(claim)), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
        },
    }


def _serve_claim(api: Api, directory: Path, claim: Json, volume: Json | None) -> None:
    wanted = claim["spec"]["resources"]["requests"]["storage"]
    if volume is None:
        if claim["status"]["phase"] == "Pending" and "deletionTimestamp" not in claim["metadata"]:
            path = directory / volume_name(claim)
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)  # whatever user a pod runs as
            api.call("POST", _VOLUMES, volume_for(claim, directory))
    elif claim["status"].get("phase") == "Bound" and claim["status"].get("capacity", {}).get("storage") != wanted:
        metadata = claim["metadata"]
        api.call("PATCH", f"{_VOLUMES}/{volume_name(claim)}", {"spec": {"capacity": {"storage": wanted}}})
        status = f"/api/v1/namespaces/{metadata['namespace']}/persistentvolumeclaims/{metadata['name']}/status"
        api.call("PATCH", status, {"status": {"capacity": {"storage": wanted}}})


def _serve_volume(api: Api, directory: Path, volume: Json) -> None:
    released = volume["status"].get("phase") == "Released"
    if released and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
        name = volume["metadata"]["name"]
        shutil.rmtree(directory / name, ignore_errors=True)
        api.call("DELETE", f"{_VOLUMES}/{name}")


def _is_ours(storage_class: Json) -> bool:
    return bool(storage_class["provisioner"] == PROVISIONER)


def _watch(api: Api, path: str, changed: queue.Queue[str]) -> None:
    while True:
        try:
            for _ in api.events(path):
                changed.put(path)
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(f"watch of {path} ended: {error}", flush=True)
            time.sleep(_RETRY_SECONDS)
        changed.put(path)


def await_change(changed: queue.Queue[str], patience: float | None) -> None:
    """Return at the next event, or after so many seconds; one look serves all events so far."""
    with suppress(queue.Empty):
        changed.get(timeout=patience)
        while True:
            changed.get_nowait()


def main() -> None:
    """Watch and reconcile until the process is stopped."""
    api, directory = Api(Path(sys.argv[1])), Path(sys.argv[2])
    changed: queue.Queue[str] = queue.Queue()
    for path in (_CLAIMS, _VOLUMES):
        threading.Thread(target=_watch, args=(api, path, changed), daemon=True).start()
    os.umask(0)
    patience: float | None = None
    while True:
        await_change(changed, patience)
        try:
            reconcile(api, directory)
            patience = None
        except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
            print(f"failed to reconcile, trying again: {error}", flush=True)
            patience = _RETRY_SECONDS


if __name__ == "__main__":
    main()
