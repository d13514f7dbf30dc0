"""What several parts of the API share: names, references, images, addresses, bounded maps."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from rag_operator.api.base import Model
from rag_operator.api.rules import KeysMatch, Rule, matches

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_NUMBER: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_PORT: Final = f"(:{_NUMBER})?"
_QUALIFIED: Final = r"([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEYS: Final = "keys must be label keys, such as team or example.com/team"

# The name of an object in the pipeline's own namespace.
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$"),
]
# A name that becomes part of other names: a DNS label.
LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=rf"^{_LABEL}$")]
# A key of a ConfigMap or Secret.
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
# Where something is inside a volume, a bucket or a repository: relative, never upwards.
RelativePath = Annotated[
    str,
    Field(max_length=1024),
    Rule(
        "!self.startsWith('/') && !self.split('/').exists(part, part == '..')",
        "must be relative and must not contain '..'",
        lambda path: not path.startswith("/") and ".." not in path.split("/"),
    ),
]
HttpUrl = Annotated[
    str,
    Field(min_length=8, max_length=2048),
    matches(
        rf"https?://{_HOST}{_PORT}(/[^@?#\x00-\x20\x7f]*)?",
        "must be an http or https URL without user, password, query or fragment; credentials belong in a Secret that "
        "credentialsSecretRef names",
    ),
]
GitUrl = Annotated[
    str,
    Field(min_length=8, max_length=2048),
    matches(
        rf"(https://{_HOST}|ssh://([a-z_][a-z0-9_-]*@)?{_HOST}){_PORT}/[^@?#:\x00-\x20\x7f]+",
        "must be https://host/path or ssh://user@host/path; other transports are refused, and credentials belong in a Secret "
        "that credentialsSecretRef names",
    ),
]
Image = Annotated[
    str,
    Field(min_length=3, max_length=512),
    matches(
        r"([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
        r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64})",
        "must name a tag or a digest, such as registry.example/team/image:1.2 or image@sha256:...",
    ),
    Rule("!self.endsWith(':latest')", "must not be 'latest': name a version", lambda image: not image.endswith(":latest")),
]
HostPort = Annotated[
    str,
    Field(min_length=3, max_length=259),
    matches(
        rf"{_HOST}:{_NUMBER}",
        "must be host:port, such as milvus.example:19530, without a scheme",
    ),
]
Replicas = Annotated[int, Field(ge=1, le=1000)]
Dimensions = Annotated[int, Field(ge=1, le=32768)]

StringMap = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=32),
    KeysMatch(_QUALIFIED, _KEYS),
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
LabelMap = Annotated[
    dict[str, LabelValue],
    Field(max_length=32),
    KeysMatch(_QUALIFIED, _KEYS),
]


class SecretRef(Model):
    """A Secret in the pipeline's namespace."""

    name: ObjectName
    """Name of the Secret, in the pipeline's own namespace. References into other namespaces do not exist."""


class ConfigMapRef(Model):
    """A ConfigMap in the pipeline's namespace."""

    name: ObjectName
    """Name of the ConfigMap, in the pipeline's own namespace. References into other namespaces do not exist."""


class ConfigMapKeyRef(Model):
    """One key of a ConfigMap in the pipeline's namespace."""

    name: ObjectName
    """Name of the ConfigMap, in the pipeline's own namespace."""
    key: DataKey
    """Key inside the ConfigMap."""


class SecretKeyRef(Model):
    """One key of a Secret in the pipeline's namespace."""

    name: ObjectName
    """Name of the Secret, in the pipeline's own namespace."""
    key: DataKey
    """Key inside the Secret."""


class S3Location(Model):
    """A place in an S3-compatible object store."""

    bucket: Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")]
    """Name of the bucket."""
    prefix: RelativePath = ""
    """Only objects whose key starts with this are read. Document ids are relative to it."""
    endpoint: HttpUrl | None = None
    """Address of the object store. Unset: the cloud's own for the region."""
    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")] | None = None
    """Region of the bucket."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with the keys accessKeyId and secretAccessKey. Unset: anonymous, or what the pod's service account gives."""


class ClaimLocation(Model):
    """A directory on a persistent volume."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim, in the pipeline's own namespace. It is mounted read-only."""
    path: RelativePath = ""
    """Directory inside the volume. Empty: its root."""
