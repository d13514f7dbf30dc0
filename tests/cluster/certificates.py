"""Certificate authorities and the certificates they issue, made with openssl.

Elliptic-curve keys, because a cluster needs a dozen certificates before it can start and RSA keys would take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cluster.commands import run

_CONFIGURATION = """\
[req]
distinguished_name = name
prompt = no
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365")


@dataclass(frozen=True)
class Certificate:
    """Paths of a certificate and its key, both PEM."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority in a directory of its own; what exists there already is used again."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.cert, self.key = directory / f"{name}.crt", directory / f"{name}.key"
        self._configuration = directory / "openssl.cnf"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._configuration.write_text(_CONFIGURATION)
        if not (self.cert.exists() and self.key.exists()):
            self._request("authority", f"/CN={name}", self.key, self.cert, [])

    def issue(self, name: str, *, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> Certificate:
        """A certificate for a client (`user`, `groups`) and, with `hosts`, for a server; `name` names its files."""
        cert, key = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        if not (cert.exists() and key.exists()):
            subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
            signed_by: list[str | Path] = ["-CA", self.cert, "-CAkey", self.key]
            names: list[str | Path] = ["-addext", f"subjectAltName={_alternative_names(hosts)}"] if hosts else []
            self._request("leaf", subject, key, cert, signed_by + names)
        return Certificate(cert, key)

    def _request(self, section: str, subject: str, key: Path, cert: Path, more: Sequence[str | Path]) -> None:
        # The certificate appears under its name last: whoever sees it sees a whole pair.
        temporary = cert.with_suffix(".new")
        fixed: list[str | Path] = ["openssl", "req", "-x509", *_NEW_KEY, "-config", self._configuration, "-extensions", section]
        run([*fixed, "-subj", subject, "-keyout", key, "-out", temporary, *more])
        temporary.replace(cert)


def make_signing_key(path: Path) -> Path:
    """A bare private key, as the API server signs service account tokens with."""
    if not path.exists():
        run(["openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", path])
    return path


def _alternative_names(hosts: Sequence[str]) -> str:
    return ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
