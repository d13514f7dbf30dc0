"""Kubeconfig files: JSON, which every YAML reader accepts, with the certificates inside."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cluster.certificates import Certificate
from cluster.paths import write_if_changed


def write_kubeconfig(path: Path, *, server: str, authority: Path, client: Certificate) -> Path:
    """Write one context; certificates are embedded so that the file works wherever it is copied to."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rag", "cluster": {"server": server, "certificate-authority-data": _encoded(authority)}}],
        "users": [
            {
                "name": "user",
                "user": {
                    "client-certificate-data": _encoded(client.cert),
                    "client-key-data": _encoded(client.key),
                },
            }
        ],
        "contexts": [{"name": "rag", "context": {"cluster": "rag", "user": "user"}}],
        "current-context": "rag",
    }
    write_if_changed(path, json.dumps(document, indent=1), mode=0o600)
    return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
