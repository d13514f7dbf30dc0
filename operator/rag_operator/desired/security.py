"""Security contexts that satisfy the `restricted` Pod Security Standard."""

from __future__ import annotations

from rag_operator.desired.context import Manifest

USER = 65532  # "nonroot" of the usual minimal images; every image of ours runs under any user


def pod_context() -> Manifest:
    """Not root, volumes owned by the group, the runtime's own system call filter."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_context() -> Manifest:
    """No way up, no capability, nothing to write to but volumes."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
