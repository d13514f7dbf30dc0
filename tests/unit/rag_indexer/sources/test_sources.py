"""Directory, ConfigMap and git as sources; S3 has its tests beside the guard's."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain
from dulwich.client import GitClient, LocalGitClient

from rag_indexer.errors import DocumentError, PermanentError, SourceError
from rag_indexer.sources import git
from rag_indexer.sources.configmap import ConfigMapSource
from rag_indexer.sources.directory import DirectorySource
from rag_indexer.sources.git import GitSource, over_the_network
from rag_indexer.sources.opening import OpenSources, Surroundings, open_source
from rag_indexer.sources.port import Entry, GoneError, Source
from rag_runtime.contracts.index import ClaimSource, Named, SourceSpec
from rag_runtime.contracts.index import GitSource as GitLocation


async def listed(source: Source) -> dict[str, Entry]:
    return {entry.path: entry async for entry in source.entries()}


async def test_a_directory_lists_files_with_versions_that_move_with_their_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("one")
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "hidden.txt").write_text("Kubernetes' own")
    source = DirectorySource("s", tmp_path, max_bytes=100)
    first = await listed(source)
    assert list(first) == ["a/b.txt"]
    os.utime(tmp_path / "a" / "b.txt", (1, 1))
    assert (await listed(source))["a/b.txt"].version != first["a/b.txt"].version
    assert await source.read(first["a/b.txt"]) == b"one"


async def test_a_mounted_configmap_is_read_through_its_links(tmp_path: Path) -> None:
    data = tmp_path / "..2026_01_01"
    data.mkdir()
    (data / "faq.md").write_text("# FAQ")
    (tmp_path / "..data").symlink_to(data)
    (tmp_path / "faq.md").symlink_to(tmp_path / "..data" / "faq.md")
    assert list(await listed(DirectorySource("s", tmp_path, max_bytes=100))) == ["faq.md"]


async def test_links_that_lead_nowhere_or_in_a_circle_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "fine.txt").write_text("one")
    for name, target in {"dangling": "nothing", "circle": "circle", "one": "other", "other": "one", "through": "fine.txt/x"}.items():
        (tmp_path / name).symlink_to(target)
    assert list(await listed(DirectorySource("s", tmp_path, max_bytes=100))) == ["fine.txt"]


async def test_what_a_file_system_keeps_for_root_is_left_out_at_its_root_alone(tmp_path: Path) -> None:
    for directory in (tmp_path / "lost+found", tmp_path / "a" / "lost+found"):
        directory.mkdir(parents=True)
        (directory / "b.txt").write_text("one")
    assert list(await listed(DirectorySource("s", tmp_path, max_bytes=100))) == ["a/lost+found/b.txt"]


async def test_a_file_that_became_a_link_out_of_the_volume_is_not_read(tmp_path: Path) -> None:
    root, secret = tmp_path / "volume", tmp_path / "token"
    root.mkdir()
    secret.write_text("of the pod")
    (root / "a.txt").write_text("one")
    source = DirectorySource("s", root, max_bytes=100)
    entries = await listed(source)
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to(secret)
    with pytest.raises(GoneError):
        await source.read(entries["a.txt"])


async def test_a_directory_that_cannot_be_listed_is_named_in_unicode_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = tmp_path / os.fsdecode(b"b\xfccher")

    def scandir(_: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(unreadable))

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SourceError) as failed:
        await listed(DirectorySource("s", tmp_path, max_bytes=100))
    assert str(failed.value).encode().endswith(rb"b\xfccher: Permission denied")


async def test_a_file_that_is_too_large_or_gone_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0123456789")
    source = DirectorySource("s", tmp_path, max_bytes=5)
    entries = await listed(source)
    with pytest.raises(DocumentError, match="10 bytes, allowed: at most 5"):
        await source.read(entries["a.txt"])
    (tmp_path / "a.txt").unlink()
    with pytest.raises(GoneError):
        await source.read(entries["a.txt"])


async def test_a_configmap_lists_its_keys_and_ignores_a_change_of_its_labels() -> None:
    state: dict[str, Any] = {"data": {"a.md": "one"}, "binaryData": {"b.bin": "dHdv"}, "metadata": {"resourceVersion": "1"}}

    async def get(name: str) -> dict[str, Any] | None:
        return state if name == "faq" else None

    source = ConfigMapSource("s", "faq", get, max_bytes=100)
    first = await listed(source)
    assert await source.read(first["b.bin"]) == b"two"
    state["metadata"]["resourceVersion"] = "2"
    assert await listed(source) == first
    state["data"]["a.md"] = "other"
    assert (await listed(source))["a.md"].version != first["a.md"].version
    with pytest.raises(SourceError, match="ConfigMap nowhere does not exist"):
        await listed(ConfigMapSource("s", "nowhere", get, max_bytes=100))


def repository(path: Path, files: dict[str, str]) -> None:
    path.mkdir(exist_ok=True)
    if not (path / ".git").exists():
        porcelain.init(str(path))
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    porcelain.add(str(path), [str(path / name) for name in files])
    porcelain.commit(str(path), message=b"text", author=b"A <a@b>", committer=b"A <a@b>")


def local(url: str, secret: dict[str, str], work: Path) -> tuple[GitClient, str]:
    return LocalGitClient(), url


async def test_a_git_repository_is_followed_by_ref(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    repository(origin, {"docs/a.md": "one", "docs/b.md": "two", "README.md": "no document"})
    branch = porcelain.active_branch(str(origin)).decode()
    location = GitLocation(url=str(origin), ref=branch, path="docs")
    source = GitSource("s", location, {}, tmp_path / "work", max_bytes=100, connect=local)
    first = await listed(source)
    assert {path: entry.size for path, entry in first.items()} == {"a.md": 3, "b.md": 3}
    assert await source.read(first["a.md"]) == b"one"
    repository(origin, {"docs/a.md": "changed"})
    second = await listed(source)
    assert second["a.md"].version != first["a.md"].version
    assert second["b.md"].version == first["b.md"].version
    assert (second["a.md"].size, await listed(source)) == (7, second)
    assert await source.read(second["a.md"]) == b"changed"
    await source.close()
    assert os.listdir(tmp_path / "work") == []


async def test_sources_that_nobody_wants_any_more_leave_no_copy_behind(tmp_path: Path) -> None:
    repository(tmp_path / "origin", {"a.md": "one"})
    branch = porcelain.active_branch(str(tmp_path / "origin")).decode()
    specs = [SourceSpec(name="s", git=GitLocation(url=str(tmp_path / "origin"), ref=branch, path=path)) for path in ("", "docs")]
    work = tmp_path / "work"
    sources = OpenSources(Surroundings(tmp_path, tmp_path, work, git_connect=local))
    for spec in specs:
        await listed(await sources.of(spec, 100))
    await sources.keep(specs[:1])
    assert len(os.listdir(work)) == 1, "the copy of the other source of that name stays"
    await sources.of(specs[0], 200)
    assert os.listdir(work) == []
    await sources.close()


async def test_a_git_ref_that_is_not_there_fails_the_listing(tmp_path: Path) -> None:
    repository(tmp_path / "origin", {"a.md": "one"})
    location = GitLocation(url=str(tmp_path / "origin"), ref="nowhere")
    with pytest.raises(SourceError, match="no branch, tag or commit nowhere"):
        await listed(GitSource("s", location, {}, tmp_path / "work", max_bytes=100, connect=local))


async def test_a_name_in_a_git_repository_that_is_not_utf_8_is_named_where_it_is_read(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    repository(origin, {"docs/a.md": "one", os.fsdecode(b"old/b\xfccher.md"): "two"})
    branch = porcelain.active_branch(str(origin)).decode()

    docs, everything = (
        GitSource("s", GitLocation(url=str(origin), ref=branch, path=path), {}, tmp_path / "work", max_bytes=100, connect=local)
        for path in ("docs", "")
    )
    assert list(await listed(docs)) == ["a.md"]
    with pytest.raises(SourceError, match=r"the name b'old/b\\xfccher.md' is not UTF-8"):
        await listed(everything)
    await everything.close()
    await docs.close()


async def test_a_git_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "SILENT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = GitLocation(url=f"https://127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(SourceError, match="timed out"):
            await asyncio.wait_for(listed(GitSource("s", location, {}, tmp_path, max_bytes=1)), 30)


async def test_a_git_listing_that_hangs_ends_and_its_thread_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "LISTING_SECONDS", 0.2)
    release = threading.Event()

    class Hanging(LocalGitClient):
        def get_refs(self, *_: Any, **__: Any) -> Any:
            release.wait()
            raise OSError("at last")

    location = GitLocation(url=str(tmp_path / "origin"))
    source = GitSource("s", location, {}, tmp_path / "work", max_bytes=1, connect=lambda url, *_: (Hanging(), url))
    with pytest.raises(SourceError, match=r"was not listed within 0 s"):
        await listed(source)
    await source.close()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "git")
    assert thread.daemon
    release.set()
    thread.join()


@pytest.mark.parametrize("url", ["file:///etc", "/etc", "git://host/x", "http://host/x"])
def test_git_goes_over_https_and_ssh_only(url: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="only https and ssh are allowed"):
        over_the_network(url, {}, tmp_path)


def test_ssh_needs_a_key_and_known_hosts(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="lacks knownHosts"):
        over_the_network("ssh://git@host/x", {"sshPrivateKey": "k"}, tmp_path)
    client, _ = over_the_network("ssh://git@host/x", {"sshPrivateKey": "k", "knownHosts": "h"}, tmp_path)
    assert "-o ServerAliveInterval=15 -o ServerAliveCountMax=4" in client.ssh_command  # type: ignore[attr-defined]
    assert (tmp_path / "ssh-key").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, tmp_path / "credentials", tmp_path)
    spec = SourceSpec(name="s", git=GitLocation(url="https://host/x", credentials_secret_ref=Named(name="deploy-key")))
    with pytest.raises(PermanentError, match="Secret deploy-key is not mounted"):
        open_source(spec, around, max_bytes=1)


def test_a_volume_is_read_below_its_path(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, tmp_path, tmp_path)
    source = open_source(SourceSpec(name="manuals", pvc=ClaimSource(claim_name="c", path="en")), around, max_bytes=1)
    assert isinstance(source, DirectorySource)
    assert source._root == tmp_path / "manuals" / "en"


def test_a_key_of_a_secret_that_is_no_text_is_in_nobodys_way(tmp_path: Path) -> None:
    directory = tmp_path / "s3-read"
    directory.mkdir()
    (directory / "accessKeyId").write_text("id")
    (directory / "truststore.jks").write_bytes(b"\xfe\xed\xfe\xed")
    assert Surroundings(tmp_path, tmp_path, tmp_path).secret(Named(name="s3-read"))["accessKeyId"] == "id"
