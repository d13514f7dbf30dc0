"""The two Milvus collections of an index: names, fields, states and properties (design: an index is two collections)."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Iterable

LEDGER_SUFFIX = "_docs"
SCRATCH_INFIX = "_probe_"
MAX_DOCUMENT_ID_BYTES = 1_024
CHUNK_KEY_LENGTH = 32
BUCKETS = 1_024

# Fields of `<name>`, the chunks.
KEY = "key"
DOCUMENT = "document"
TEXT = "text"
ORDINAL = "ordinal"
SPAN_START = "span_start"
SPAN_END = "span_end"
TITLE = "title"
URI = "uri"
METADATA = "metadata"
ACL = "acl"
VECTOR = "vector"

# Fields of `<name>_docs`, the ledger (DOCUMENT is its key).
VERSION = "version"
CONTENT_HASH = "content_hash"
CHUNKS_DIGEST = "chunks_digest"
CHUNK_COUNT = "chunk_count"
STATE = "state"
REASON = "reason"
ATTEMPTS = "attempts"
UPDATED = "updated"
BUCKET = "bucket"  # `bucket(document)`: builds are partitioned and the ledger is read by it; META_BUCKET on rows that are no documents
RECIPE = "recipe"  # digest of what else decides a chunk's row but not its vector: the declared metadata fields
MARK = "mark"  # two dimensions that mean nothing: a collection needs a vector

STATE_WRITING = "writing"
STATE_DONE = "done"
STATE_EMPTY = "empty"
STATE_FAILED = "failed"
STATE_DELETING = "deleting"
STATE_META = "meta"  # not a document: what the index knows of itself (probe vectors, fingerprint), under ids that begin with META_PREFIX
META_PREFIX = "."  # no source's name begins with it
META_BUCKET = -1
SETTLED = frozenset({STATE_DONE, STATE_EMPTY})

# Properties of `<name>`: whose it is. A drop compares them first.
PROPERTY_CLUSTER = "ragops.cluster"
PROPERTY_NAMESPACE = "ragops.namespace"
PROPERTY_INDEX = "ragops.index"


def ledger_name(collection: str) -> str:
    """The ledger beside the chunks of `collection`."""
    return collection + LEDGER_SUFFIX


def scratch_name(collection: str) -> str:
    """A name for what the server is tried on before `collection` is made, another one each time."""
    return collection + SCRATCH_INFIX + secrets.token_hex(4)


def is_scratch(name: str, collection: str) -> bool:
    """Whether the server was tried on this for `collection`."""
    return name.startswith(collection + SCRATCH_INFIX)


def document_id(source: str, path: str) -> str:
    """`<source>/<path>` in NFC. Raises `ValueError` when it is longer than `MAX_DOCUMENT_ID_BYTES`."""
    name = unicodedata.normalize("NFC", f"{source}/{path.lstrip('/')}")
    size = len(name.encode())
    if size > MAX_DOCUMENT_ID_BYTES:
        raise ValueError(f"document id of {size} bytes, allowed: at most {MAX_DOCUMENT_ID_BYTES}: {name[:80]}…")
    return name


def chunk_key(document: str, embedded_text: str, occurrence: int) -> str:
    """The first 32 hex digits of SHA-256 over the length-prefixed document id, embedded text and occurrence number."""
    digest = hashlib.sha256()
    for part in (document.encode(), embedded_text.encode(), str(occurrence).encode()):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:CHUNK_KEY_LENGTH]


def chunks_digest(keys: Iterable[str]) -> str:
    """What the ledger remembers of a document's chunks: the first 32 hex digits of SHA-256 over their sorted keys."""
    return hashlib.sha256("".join(sorted(keys)).encode()).hexdigest()[:CHUNK_KEY_LENGTH]


def bucket(document: str) -> int:
    """The hash bucket (0 to `BUCKETS` - 1) by which builds are partitioned."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:4], "big") % BUCKETS
