"""Images of a revision: chosen when it is recorded, so that an upgrade of the operator restarts no pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rag_operator import names
from rag_operator.api.v1alpha1.pod import PodSettings
from rag_operator.api.v1alpha1.spec import RAGPipelineSpec
from rag_operator.desired.pods import devices
from rag_operator.model.revision import Revision

EMBEDDER_GPU: Final = "embedder-gpu"  # the embedder with torch and CUDA
KINDS: Final = (names.KIND_EMBEDDER, EMBEDDER_GPU, names.KIND_GATEWAY, names.KIND_INDEXER, names.KIND_MILVUS, names.KIND_GENERATOR)


def chosen(templates: Mapping[str, str], spec: RAGPipelineSpec, before: Revision | None = None) -> dict[str, str]:
    """The image of each kind. `templates` come from the operator's settings; `{version}` is the pipeline's `runtime.version`.

    `before` is the newest recorded revision: as long as `runtime.version` stays, so do its images, whatever the operator would now choose.
    """
    version = spec.runtime.version
    if before is not None and before.spec.runtime.version == version and set(before.images) >= set(KINDS):
        return dict(before.images)
    return {kind: templates[kind].replace("{version}", version) for kind in KINDS}


def of_embedder(images: Mapping[str, str], settings: PodSettings) -> str:
    """The image of a local embedder: the one for GPUs where its pod asks for one."""
    wanted = settings.resources.to_wire() if settings.resources is not None else {}
    return images[EMBEDDER_GPU if devices(wanted) else names.KIND_EMBEDDER]
