"""OpenVINO is imported by tests too; the package comes first, since it switches the library's telemetry off."""

import rag_embedder  # noqa: F401
