from __future__ import annotations

from pathlib import Path

import pytest

from rag_gateway.errors import UnauthorizedError, UnavailableError
from rag_gateway.keys import BELIEVED_SECONDS, CHECK_SECONDS, ApiKeys


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float = CHECK_SECONDS) -> None:
        self.now += seconds


def _owner(keys: ApiKeys, authorization: str | None) -> str | None:
    try:
        return keys.owner(authorization)
    except UnauthorizedError:
        return "refused"


def test_without_a_directory_nobody_is_asked(tmp_path: Path) -> None:
    assert ApiKeys(tmp_path / "none").owner(None) is None


def test_an_empty_directory_lets_nobody_in(tmp_path: Path) -> None:
    with pytest.raises(UnauthorizedError, match="an API key is required"):
        ApiKeys(tmp_path).owner(None)
    with pytest.raises(UnauthorizedError, match="not known"):
        ApiKeys(tmp_path).owner("Bearer x")


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Bearer sk-alice", "alice"),
        ("bearer  sk-bob ", "bob"),
        ("Basic sk-alice", "refused"),
        ("sk-alice", "refused"),
        ("Bearer ", "refused"),
        ("Bearer sk-alice2", "refused"),
        (None, "refused"),
    ],
)
def test_a_key_says_whose_it_is(authorization: str | None, expected: str, tmp_path: Path) -> None:
    (tmp_path / "alice").write_text("sk-alice\n")
    (tmp_path / "bob").write_text("sk-bob")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "..data").write_text("sk-hidden")

    assert _owner(ApiKeys(tmp_path), authorization) == expected


@pytest.mark.parametrize("key", ["schlüssel", "鍵", "clé-à"])
def test_a_key_may_hold_what_is_not_ascii(key: str, tmp_path: Path) -> None:
    (tmp_path / "alice").write_bytes(key.encode() + b"\n")

    assert _owner(ApiKeys(tmp_path), f"Bearer {key}".encode().decode("latin-1")) == "alice"  # as the server hands headers on


def test_a_change_counts_from_the_next_look_on(tmp_path: Path) -> None:
    clock = _Clock()
    (tmp_path / "alice").write_text("sk-1")
    keys = ApiKeys(tmp_path, clock)
    assert _owner(keys, "Bearer sk-1") == "alice"

    (tmp_path / "alice").write_text("sk-22")
    (tmp_path / "bob").write_text("sk-3")
    clock.later()
    assert [_owner(keys, f"Bearer {key}") for key in ("sk-1", "sk-22", "sk-3")] == ["refused", "alice", "bob"]

    (tmp_path / "alice").unlink()
    clock.later()
    assert _owner(keys, "Bearer sk-22") == "refused"


def test_a_secret_that_vanishes_lets_nobody_in_who_was_out_before(tmp_path: Path) -> None:
    clock, directory = _Clock(), tmp_path / "keys"
    directory.mkdir()
    (directory / "alice").write_text("sk-1")
    keys = ApiKeys(directory, clock)
    assert _owner(keys, "Bearer sk-1") == "alice"

    (directory / "alice").unlink()
    directory.rmdir()
    clock.later()

    assert _owner(keys, None) == "refused"  # keys were asked for once: they are from then on


def test_a_directory_that_cannot_be_looked_at_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", fails)
    assert _owner(ApiKeys(tmp_path), None) == "refused"


def test_keys_that_cannot_be_read_again_are_believed_for_a_while_and_no_longer(tmp_path: Path) -> None:
    clock, directory, away = _Clock(), tmp_path / "keys", tmp_path / "away"
    directory.mkdir()
    (directory / "alice").write_text("sk-1")
    keys = ApiKeys(directory, clock)
    assert _owner(keys, "Bearer sk-1") == "alice"

    directory.rename(away)
    clock.later(10 * BELIEVED_SECONDS)  # nobody asked meanwhile: this is the first look that fails
    assert _owner(keys, "Bearer sk-1") == "alice"
    clock.later(BELIEVED_SECONDS - CHECK_SECONDS)
    assert _owner(keys, "Bearer sk-1") == "alice"
    clock.later()
    with pytest.raises(UnavailableError, match="cannot be read") as refused:
        keys.owner("Bearer sk-1")
    assert refused.value.error_code == "keys_unreadable"

    away.rename(directory)
    clock.later()
    assert _owner(keys, "Bearer sk-1") == "alice"
