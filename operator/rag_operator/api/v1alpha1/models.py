"""What embedder and generator share: a pinned model, where its weights come from, where they are kept."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from rag_operator.api.base import Model
from rag_operator.api.marks import IN_PLACE
from rag_operator.api.rules import Rule, at_most_one_of, grows, one_of
from rag_operator.api.scalars import Quantity
from rag_operator.api.v1alpha1.common import (
    ClaimLocation,
    HttpUrl,
    Image,
    ObjectName,
    RelativePath,
    SecretKeyRef,
)

MOVING_REVISIONS: Final = ("main", "master", "head", "HEAD", "latest", "dev", "trunk")
ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")]
Prompt = Annotated[str, Field(max_length=4096)]
Revision = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"),
    Rule(
        f"!(self in {list(MOVING_REVISIONS)})",
        "must be pinned: a commit or a version, not a branch that moves",
        lambda text: text not in MOVING_REVISIONS,
    ),
]


class HubSource(Model):
    """A model hub with the API of Hugging Face."""

    endpoint: HttpUrl | None = None
    """Address of the hub or of a mirror. Unset: the public one."""
    token_secret_ref: Annotated[SecretKeyRef, IN_PLACE] | None = None
    """Token for models that need one."""


class ImageSource(Model):
    """An OCI image that carries the weights; it is mounted read-only."""

    reference: Image
    """The image, with tag or digest."""
    path: RelativePath = ""
    """Directory inside the image."""


class ModelSource(Model):
    """Where the weights come from. Only safetensors are loaded."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("hugging_face", "image", "pvc"),)

    hugging_face: HubSource | None = None
    """Downloaded from a model hub."""
    image: ImageSource | None = None
    """Mounted from an OCI image."""
    pvc: ClaimLocation | None = None
    """Mounted from a persistent volume."""


class ModelRef(Model):
    """A model, pinned."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.source.huggingFace) || self.revision.matches('^[0-9a-f]{40}$')",
            "revision must be a full commit of 40 hexadecimal digits when the model comes from a hub",
            lambda self: self.source.hugging_face is None or _is_commit(self.revision),
            path=".revision",
        ),
    )

    name: ModelName
    """Name of the model, such as sentence-transformers/all-MiniLM-L6-v2."""
    revision: Revision
    """Pinned version: the commit, for a hub; for an image or a volume, a version that changes whenever the weights do."""
    source: ModelSource
    """Where the weights come from."""


def _is_commit(text: str) -> bool:
    return len(text) == 40 and set(text) <= set("0123456789abcdef")


class ModelCache(Model):
    """A volume for downloaded weights that outlives the pods, made by the operator."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        grows(
            "size",
            "another storageClassName or accessMode makes a new volume of any size",
            unless="self.accessMode != oldSelf.accessMode || has(self.storageClassName) != has(oldSelf.storageClassName) || "
            "(has(self.storageClassName) && self.storageClassName != oldSelf.storageClassName)",
        ),
    )

    size: Quantity
    """How large the volume is. It may grow."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume. Unset: the default one."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteMany"
    """ReadWriteOnce binds all replicas to one node."""


REPLICAS_OR_AUTOSCALING: Final = at_most_one_of(
    "replicas", "autoscaling", message="replicas and autoscaling exclude each other: set replicas for a fixed number, autoscaling otherwise"
)
