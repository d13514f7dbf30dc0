"""What a change of a spec field means: a mark on every field, read by the hashes and by the documentation.

A mark on a field holds for everything below it, unless a field below has marks of its own. A field may have several: the
embedding model makes both the embedder and the content of the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_VERSION: Final = "0.1"


@dataclass(frozen=True)
class Mark:
    """One meaning of a change. `since` is the version of the operator that brought the mark to this field."""

    name: str
    meaning: str
    since: str = FIRST_VERSION


CONTENT: Final = Mark("content", "a new index is built: every document is embedded again")
LAYOUT: Final = Mark("layout", "a new index is built: the vectors are copied, nothing is embedded")
EMBEDDER: Final = Mark("embedder", "a new embedder is started beside the old one")
GENERATOR: Final = Mark("generator", "a new generator is started beside the old one")
REVISION: Final = Mark("revision", "a new revision that shares its components: no pod is started")
IN_PLACE: Final = Mark("inPlace", "the running components change in place, surging first")
DATA: Final = Mark("data", "the live indexes are brought up to date by the next sync")
POLICY: Final = Mark("policy", "how the operator acts from now on: nothing that runs is changed")
FIXED: Final = Mark("fixed", "cannot change: make a new pipeline, or for a source give it a new name")

ALL: Final = (CONTENT, LAYOUT, EMBEDDER, GENERATOR, REVISION, IN_PLACE, DATA, POLICY, FIXED)
