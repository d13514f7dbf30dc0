"""The wheel's files become a server's directory; the template becomes its configuration."""

from __future__ import annotations

import lzma
import zipfile
from pathlib import Path

from cluster.milvus_files import DEFAULT_PORTS, configure, unpack

TEMPLATE = """\
etcd:
  endpoints: localhost:{{ etcd_port(int): 2379 }}
  data:
    dir: {{ etcd_data_dir }}
proxy:
  ip: # if not specify address
  port: {{ proxy_port(int): 19530 }}
common:
  gracefulStopTimeout: 1800 # seconds
  security:
    tlsMode: {{ tls_mode(int): 0 }}
    serverPemPath: {{ server_pem_path: server.pem }}
  session:
    ttl: 30 # lease
"""
EXPECTED = """\
etcd:
  config:
    path: {data}/etcd.yaml
  endpoints: localhost:4001
  data:
    dir: {data}/etcd
proxy:
  ip: 127.0.0.1
  port: 4002
common:
  gracefulStopTimeout: 3 # seconds
  security:
    tlsMode: 0
    serverPemPath: server.pem
  session:
    ttl: 8 # lease
"""


def test_programs_are_unpacked_and_the_old_resolver_left_out(tmp_path: Path) -> None:
    wheel = tmp_path / "milvus.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("milvus", "librocksdb.so.6", "libresolv.so.2"):
            archive.writestr(f"milvus/data/bin/{name}.lzma", lzma.compress(name.encode(), lzma.FORMAT_ALONE))
        archive.writestr("milvus/data/config.yaml.template", TEMPLATE)
    unpack(wheel, tmp_path / "files")
    names = sorted(path.name for path in (tmp_path / "files").iterdir())
    assert names == ["config.yaml.template", "librocksdb.so.6", "milvus"]
    assert (tmp_path / "files/milvus").read_bytes() == b"milvus"
    assert (tmp_path / "files/milvus").stat().st_mode & 0o777 == 0o755


def test_the_template_is_filled_and_made_to_restart_quickly(tmp_path: Path) -> None:
    (tmp_path / "config.yaml.template").write_text(f"# comment\n{TEMPLATE}")
    data = tmp_path / "data"
    path = configure(tmp_path, data, {**DEFAULT_PORTS, "etcd_port": 4001, "proxy_port": 4002})
    assert path.read_text() == f"# comment\n{EXPECTED.format(data=data)}"
    assert "listen-client-urls: http://127.0.0.1:4001" in (data / "etcd.yaml").read_text()
    assert (data / "glog.conf").exists(), "the server exits without it"
