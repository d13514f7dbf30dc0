"""Files of a git repository at one ref, by dulwich. A file's version is its blob's id.

Only the ref's last commit is fetched, into a bare repository of our own that is thrown away with the pod.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from dulwich.client import GitClient, HTTPUnauthorized, get_transport_and_path
from dulwich.config import ConfigDict
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID, Tag
from dulwich.repo import Repo

from rag_indexer.errors import DocumentError, PermanentError, SourceError
from rag_indexer.sources.port import Entry, GoneError, checked_size
from rag_runtime.contracts.index import GitSource as Location
from rag_runtime.threads import in_daemon_thread

Connect = Callable[[str, dict[str, str], Path], tuple[GitClient, str]]
_FAILURES = (GitProtocolError, NotGitRepository, HTTPUnauthorized, OSError, KeyError, ValueError)
# A server that says nothing for so long is given up.
SILENT_SECONDS = 60
# A listing with its fetch, from a server that says a little all the time too: other sources wait for it.
LISTING_SECONDS = 900.0


class GitSource:
    """A `Source` over a repository. `connect` is a parameter so that tests can bring their own transport."""

    def __init__(
        self, name: str, location: Location, secret: dict[str, str], work: Path, *, max_bytes: int, connect: Connect | None = None
    ) -> None:
        self.name = name
        self._location = location
        self._secret = secret
        # Of our own: a fetch that was given up may still be running beside the one after it, and indexes may describe a source differently.
        self._work = work / f"git-{name}-{secrets.token_hex(4)}"
        self._path = self._work / "repository"
        self._max_bytes = max_bytes
        self._connect = connect or over_the_network
        self._repo: Repo | None = None
        self._commit = b""
        self._sizes: dict[bytes, int] = {}

    async def entries(self) -> AsyncIterator[Entry]:
        """Every file below the path at the ref."""
        try:
            listed = await asyncio.wait_for(in_daemon_thread(self._listed, "git"), LISTING_SECONDS)
        except TimeoutError as error:
            raise SourceError(f"source {self.name}: {self._location.url} was not listed within {LISTING_SECONDS:.0f} s") from error
        for entry in listed:
            yield entry

    def _listed(self) -> list[Entry]:
        try:
            repo = self._fetched()
            return list(self._entries(repo))
        except PermanentError:
            raise
        except _FAILURES as error:
            raise SourceError(f"source {self.name}: failed to read {self._location.url} at {self._location.ref}: {error!s:.300}") from error

    def _fetched(self) -> Repo:
        self._work.mkdir(parents=True, exist_ok=True)
        client, path = self._connect(self._location.url, self._secret, self._work)
        tip = tip_of(client.get_refs(path.encode()).refs, self._location.ref)
        if self._repo is not None and tip == self._commit:
            return self._repo
        self._forget()
        self._path.mkdir()
        repo = self._repo = Repo.init_bare(str(self._path))
        self._commit = b""  # until all of it is here
        client.fetch(path.encode(), repo, determine_wants=lambda *_: [ObjectID(tip)], depth=1)
        self._commit = tip
        return repo

    def _forget(self) -> None:
        if self._repo is not None:
            self._repo.close()
            self._repo = None
        self._sizes.clear()
        shutil.rmtree(self._path, ignore_errors=True)

    def _entries(self, repo: Repo) -> list[Entry]:
        prefix = self._location.path.strip("/")
        lead = f"{prefix}/" if prefix else ""
        found = []
        for item in iter_tree_contents(repo.object_store, _tree(repo, self._commit)):
            # Links and submodules are not files of this repository.
            if stat.S_ISREG(item.mode) and item.path.startswith(lead.encode()):
                path = _named(item.path)
                version = item.sha.decode()
                uri = f"{self._location.url}@{self._commit.decode()[:12]}:{path}"
                found.append(Entry(path[len(lead) :], version, uri, self._size(repo, item.sha)))
        return found

    def _size(self, repo: Repo, blob: bytes) -> int:
        """Bytes of a blob. A tree does not say: each is unpacked once a commit, which costs a small part of what fetching it did."""
        if blob not in self._sizes:
            self._sizes[blob] = len(repo.object_store.get_raw(blob)[1])
        return self._sizes[blob]

    async def read(self, entry: Entry) -> bytes:
        """The blob's content. A line of JSON Lines carries its own version, so its file is found in the tree."""
        return await asyncio.to_thread(self._read, entry)

    def _read(self, entry: Entry) -> bytes:
        if self._repo is None:
            raise DocumentError("read before the repository was listed")
        try:
            blob = self._repo[self._blob(self._repo, entry)]
        except KeyError as error:
            raise GoneError("it is gone since it was listed") from error
        if not isinstance(blob, Blob):
            raise DocumentError("it is not a file")
        checked_size(blob.raw_length(), self._max_bytes)
        return bytes(blob.data)

    def _blob(self, repo: Repo, entry: Entry) -> bytes:
        if entry.start < 0:
            return entry.version.encode()
        prefix = self._location.path.strip("/")
        path = f"{prefix}/{entry.file}" if prefix else entry.file
        tree = repo[_tree(repo, self._commit)]
        found: tuple[int, bytes] = tree.lookup_path(repo.object_store.__getitem__, path.encode())
        return found[1]

    async def close(self) -> None:
        """Throw the copy away."""
        await asyncio.to_thread(self._forget)
        await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)


def over_the_network(url: str, secret: dict[str, str], work: Path) -> tuple[GitClient, str]:
    """A client for https or ssh; everything else is refused, whatever the API let through."""
    if url.startswith("https://"):
        config = ConfigDict()
        config.set((b"http",), b"timeout", str(SILENT_SECONDS).encode())
        client, path = get_transport_and_path(url, config, username=secret.get("username"), password=secret.get("password"))
    elif url.startswith("ssh://"):
        client, path = get_transport_and_path(url, ssh_command=_ssh_command(secret, work))
    else:
        raise PermanentError(f"git URL {url}: only https and ssh are allowed")
    return client, path


def _ssh_command(secret: dict[str, str], work: Path) -> str:
    """OpenSSH with the Secret's key and known hosts. A host that is not known is refused: there is nobody to ask."""
    if missing := [key for key in ("sshPrivateKey", "knownHosts") if key not in secret]:
        raise PermanentError(f"the git Secret lacks {' and '.join(missing)}, which ssh needs")
    key, hosts = work / "ssh-key", work / "ssh-known-hosts"
    for path, content in ((key, secret["sshPrivateKey"].strip() + "\n"), (hosts, secret["knownHosts"])):
        path.touch(mode=0o600)
        path.write_text(content)
    options = (
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={hosts}",
        "ConnectTimeout=20",
        "ServerAliveInterval=15",
        f"ServerAliveCountMax={SILENT_SECONDS // 15}",
        "IdentitiesOnly=yes",
    )
    return shlex.join(["ssh", "-i", str(key), *(part for option in options for part in ("-o", option))])


def tip_of(refs: dict[Any, Any], ref: str) -> bytes:
    """The object a branch, tag or commit id names. Raises `KeyError` with the ref's name."""
    names = (f"refs/heads/{ref}", f"refs/tags/{ref}", ref)
    for name in names:
        if found := refs.get(name.encode()):
            return bytes(found)
    if len(ref) == 40 and all(digit in "0123456789abcdef" for digit in ref):
        return ref.encode()
    raise KeyError(f"there is no branch, tag or commit {ref}")


def _named(path: bytes) -> str:
    """A path as text. `ValueError` names one that is none: documents are known by their paths."""
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the name {path!r} is not UTF-8") from error


def _tree(repo: Repo, identifier: bytes) -> Any:
    found = repo[identifier]
    while isinstance(found, Tag):
        found = repo[found.object[1]]
    if not isinstance(found, Commit):
        raise ValueError(f"{identifier.decode()} is not a commit")
    return found.tree
