"""Certificates that a TLS library accepts, for clients and servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.certificates import Authority
from cluster.commands import CommandError, run


def test_a_certificate_says_who_it_is_for_and_verifies(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    issued = authority.issue("alice", user="alice", groups=["editors", "staff"], hosts=["127.0.0.1", "api.test"])
    text = run(["openssl", "x509", "-in", issued.cert, "-noout", "-subject", "-ext", "subjectAltName,basicConstraints"])
    assert "O = editors, O = staff, CN = alice" in text
    assert "IP Address:127.0.0.1, DNS:api.test" in text
    assert "CA:FALSE" in text
    run(["openssl", "verify", "-x509_strict", "-CAfile", authority.cert, issued.cert])


def test_another_authority_does_not_vouch_for_it(tmp_path: Path) -> None:
    issued = Authority(tmp_path / "one", "ca").issue("alice", user="alice")
    with pytest.raises(CommandError):
        run(["openssl", "verify", "-CAfile", Authority(tmp_path / "two", "ca").cert, issued.cert])


def test_what_exists_is_used_again(tmp_path: Path) -> None:
    first = Authority(tmp_path, "ca").issue("alice", user="alice").cert.read_bytes()
    assert Authority(tmp_path, "ca").issue("alice", user="alice").cert.read_bytes() == first
