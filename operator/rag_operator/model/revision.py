"""What a revision is made of, as recorded in its ControllerRevision before its first child exists.

```
Revision ── embedder ──┐
         ── index ─────┤ Component: kind, name, digest, inputs   (shared between revisions when equal)
         ── generator ─┘
         ── spec: the whole resolved spec by which its children can be rebuilt at any moment
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rag_operator.api.v1alpha1.spec import RAGPipelineSpec

ComponentKind = Literal["embedder", "index", "generator"]


@dataclass(frozen=True)
class Component:
    """One embedder, index or generator. Identity is equality of `inputs`; the name is derived from `digest`."""

    kind: ComponentKind
    name: str
    digest: str
    inputs: Mapping[str, Any] = field(repr=False)

    def same_as(self, other: Component) -> bool:
        """Whether both are the same component by what they are made of, not only by name."""
        return (self.kind, self.digest, self.inputs) == (other.kind, other.digest, other.inputs)


@dataclass(frozen=True)
class Revision:
    """One way to answer a question."""

    name: str  # 10 hexadecimal digits
    digest: str
    embedder: Component
    index: Component
    generator: Component | None  # None: the pipeline retrieves and quotes
    spec: RAGPipelineSpec = field(repr=False)  # in-place fields: as last wanted of this revision, or of what it shares
    prompt_template: str | None = field(default=None, repr=False)  # text of the referenced ConfigMap
    collection: str = ""  # the collection's name, chosen once: rag_<hash>_<8 random>
    images: Mapping[str, str] = field(default_factory=dict, repr=False)  # of our own images, by kind
    parser: int = 1
    hash_version: int = 1

    def components(self) -> Iterator[Component]:
        """Embedder, index and, when there is one, generator."""
        yield self.embedder
        yield self.index
        if self.generator is not None:
            yield self.generator
