"""What is indexed: the sources of documents and how documents become chunks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rag_operator.api.base import Items, Model
from rag_operator.api.marks import CONTENT, DATA, FIXED, POLICY
from rag_operator.api.rules import Keyed, Rule, matches, one_of, same_member
from rag_operator.api.scalars import Between, Duration, Percentage, Quantity
from rag_operator.api.v1alpha1.common import (
    ClaimLocation,
    ConfigMapRef,
    GitUrl,
    LabelName,
    RelativePath,
    S3Location,
    SecretRef,
)

_SOURCE_KINDS = ("s3", "pvc", "git", "config_map")
_RENAME = "give the source a new name (its documents are then indexed under new ids) or make a new RAGPipeline"
SYNC_INTERVAL = "5m"
Glob = Annotated[str, Field(min_length=1, max_length=256)]


def _stays(field: str) -> str:
    # The API server fills nothing into a list's items: absent and empty are the same.
    return f"(has(self.{field}) ? self.{field} : '') == (has(oldSelf.{field}) ? oldSelf.{field} : '')"


class S3Source(S3Location):
    """Objects below a prefix of a bucket."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(_stays("prefix"), f"document ids are relative to prefix, so it cannot change: {_RENAME}", path=".prefix"),
    )

    prefix: Annotated[RelativePath, FIXED] = ""
    """Only objects whose key starts with this are read. Document ids are relative to it."""


class ClaimSource(ClaimLocation):
    """Files below a directory of a persistent volume."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(_stays("path"), f"document ids are relative to path, so it cannot change: {_RENAME}", path=".path"),
    )

    path: Annotated[RelativePath, FIXED] = ""
    """Directory inside the volume. Empty: its root."""


class GitSource(Model):
    """Files of a git repository."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(_stays("path"), f"document ids are relative to path, so it cannot change: {_RENAME}", path=".path"),
    )

    url: GitUrl
    """Address of the repository, over https or ssh."""
    ref: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "main"
    """Branch, tag or commit to read."""
    path: Annotated[RelativePath, FIXED] = ""
    """Directory inside the repository. Empty: all of it."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with username and password, or with sshPrivateKey and knownHosts."""


class Source(Model):
    """A place that documents come from. Document ids are `<name>/<path>`."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        one_of(*_SOURCE_KINDS),
        same_member(*_SOURCE_KINDS, message=f"the kind of a source cannot change under its name: {_RENAME}"),
        Rule(
            "!has(self.maxStaleness) || "
            f"duration(self.maxStaleness) >= duration(has(self.syncInterval) ? self.syncInterval : '{SYNC_INTERVAL}')",
            "maxStaleness must not be shorter than syncInterval",
            lambda self: self.max_staleness is None or self.max_staleness.seconds >= self.sync_interval.seconds,
            path=".maxStaleness",
        ),
    )

    name: LabelName
    """Name of the source. It begins the ids of its documents, so renaming it indexes them anew."""
    s3: S3Source | None = None
    """Objects in an S3-compatible object store."""
    pvc: ClaimSource | None = None
    """Files on a persistent volume."""
    git: GitSource | None = None
    """Files of a git repository."""
    config_map: ConfigMapRef | None = None
    """The keys of a ConfigMap, each a document."""
    include: Annotated[Items[Glob], Field(max_length=32)] = ()
    """Globs of paths to index, such as **/*.md. Empty: all paths."""
    exclude: Annotated[Items[Glob], Field(max_length=32)] = ()
    """Globs of paths to leave out. They win over include."""
    sync_interval: Annotated[Duration, Between("10s", "168h")] = Duration(SYNC_INTERVAL)
    """How often the source is listed. A target: status shows how fresh the index really is."""
    max_staleness: Annotated[Duration, Between("10s", "1680h")] | None = None
    """Beyond it IndexFresh becomes False. Unset: five times syncInterval."""

    @property
    def kind(self) -> Literal["s3", "pvc", "git", "configMap"]:
        """Which kind of source this is, by its wire name."""
        if self.s3 is not None:
            return "s3"
        if self.pvc is not None:
            return "pvc"
        return "git" if self.git is not None else "configMap"

    @property
    def staleness_limit(self) -> float:
        """Seconds after which the index is not fresh."""
        return self.max_staleness.seconds if self.max_staleness is not None else 5 * self.sync_interval.seconds


class Chunking(Model):
    """How a document is cut. Lengths are counted by the embedding model's own tokenizer."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.overlapTokens < self.maxTokens",
            "overlapTokens must be less than maxTokens",
            lambda self: self.overlap_tokens < self.max_tokens,
            path=".overlapTokens",
        ),
    )

    strategy: Annotated[Literal["Recursive", "Fixed"], CONTENT] = "Recursive"
    """Recursive cuts at headings, paragraphs and sentences where it can; Fixed cuts at equal lengths."""
    max_tokens: Annotated[int, Field(ge=16, le=32768), CONTENT] = 240
    """Longest chunk. With the document prompt and the model's special tokens it must fit the model's limit."""
    overlap_tokens: Annotated[int, Field(ge=0, le=8192), CONTENT] = 32
    """How much of a chunk is repeated at the start of the next."""


class MetadataFrom(Model):
    """Where the value of a metadata field is found."""

    RULES: ClassVar[tuple[Rule, ...]] = (one_of("front_matter", "json_field", "path_pattern"),)

    front_matter: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """A key of the front matter of Markdown, or the name of a meta element of HTML."""
    json_field: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """A field of the object, for JSON Lines."""
    path_pattern: (
        Annotated[
            str,
            Field(min_length=3, max_length=256),
            matches(
                r"[^()]*\([^()?][^()]*\)[^()]*",
                "must be a regular expression with exactly one group, such as ^policies/([^/]+)/; the group is the value",
            ),
        ]
        | None
    ) = None
    """A regular expression with one group, searched in the document's path inside its source; the group is the value."""


class MetadataField(Model):
    """A field by which answers can be filtered."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z][A-Za-z0-9_]*$")]
    """Name of the field in filters."""
    type: Literal["String", "Integer", "Number", "Boolean", "StringList"] = "String"
    """Type of the field. A value that cannot be read as it is left out."""
    from_: Annotated[MetadataFrom, Field(alias="from")]
    """Where the value is found in a document."""


class Documents(Model):
    """How documents become chunks."""

    chunking: Chunking = Field(default_factory=Chunking)
    """How documents are cut."""
    embed_title: Annotated[bool, CONTENT] = False
    """Whether the document's title is put before each chunk's text when it is embedded."""
    metadata: Annotated[Items[MetadataField], Field(max_length=32), Keyed("name"), DATA] = ()
    """Fields by which answers can be filtered."""
    max_delete_fraction: Annotated[Percentage, POLICY] = Percentage("10%")
    """If a listing lacks more than this share of the documents, nothing is deleted until it is approved."""
    max_failed_documents: Annotated[int, Field(ge=0, le=1_000_000), POLICY] = 0
    """How many more failed documents than the stable index a candidate may have."""
    max_document_size: Annotated[Quantity, DATA] = Quantity("32Mi")
    """Longer documents fail with a reason instead of being read."""
