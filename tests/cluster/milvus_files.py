"""Taking the `milvus` wheel apart: a Milvus server is in it, packed as lzma files and a configuration template.

Used on the host and, copied in, by the image's Dockerfile; so it imports nothing of this package.

    python milvus_files.py unpack WHEEL DIRECTORY
    python milvus_files.py configure DIRECTORY DATA        writes DATA/milvus.yaml
"""

from __future__ import annotations

import lzma
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

# An old resolver library that hides the system's; the server runs without it.
_LEFT_OUT = frozenset({"libresolv.so.2"})
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)(?:\(\w+\))?(?::\s*([^}]*?))?\s*\}\}")

# A server that was killed is otherwise waited for until its session ends (30 s), and a pod's shutdown for half an hour.
_RESTART_QUICKLY = (
    (re.compile(r"^(\s+)ttl: 30\b", re.MULTILINE), r"\1ttl: 8"),
    (re.compile(r"^(\s+)gracefulStopTimeout: 1800\b", re.MULTILINE), r"\1gracefulStopTimeout: 3"),
    # The roles run in one process: they need no address of the machine, which changes when a pod is replaced.
    (re.compile(r"^(\s+)ip:\s*(#.*)?$", re.MULTILINE), r"\1ip: 127.0.0.1"),
)
_ETCD = """\
name: default
data-dir: {data}/etcd
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
log-level: warn
"""

DEFAULT_PORTS: Mapping[str, int] = {
    "etcd_port": 2379,
    "etcd_peer_port": 2380,
    "root_coord_port": 53100,
    "proxy_port": 19530,
    "proxy_internal_port": 19529,
    "query_coord_port": 19531,
    "query_node_port": 21123,
    "index_coord_port": 22930,
    "index_node_port": 21121,
    "data_coord_port": 13333,
    "data_node_port": 21124,
}


def unpack(wheel: Path, directory: Path) -> None:
    """Write the server, its libraries and its configuration template into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            file = Path(name).name
            if name.startswith("milvus/data/bin/") and file.removesuffix(".lzma") not in _LEFT_OUT:
                target = directory / file.removesuffix(".lzma")
                target.write_bytes(lzma.decompress(archive.read(name)))
                target.chmod(0o755)
        (directory / "config.yaml.template").write_bytes(archive.read("milvus/data/config.yaml.template"))


def configure(directory: Path, data: Path, ports: Mapping[str, int] = DEFAULT_PORTS) -> Path:
    """Write `data`/milvus.yaml for a server that keeps everything under `data`; return its path."""
    values = {
        **{name: str(port) for name, port in ports.items()},
        "etcd_data_dir": str(data / "etcd"),
        "local_storage_dir": str(data / "storage"),
        "rocksmq_data_dir": str(data / "rocksmq"),
        "system_log_path": '""',
        "etcd_log_level": "warn",
    }
    text = (directory / "config.yaml.template").read_text()
    text = _PLACEHOLDER.sub(lambda match: values.get(match[1], match[2] or '""'), text)
    for pattern, replacement in _RESTART_QUICKLY:
        text = pattern.sub(replacement, text)
    etcd = data / "etcd.yaml"
    data.mkdir(parents=True, exist_ok=True)
    etcd.write_text(_ETCD.format(data=data, client=ports["etcd_port"], peer=ports["etcd_peer_port"]))
    (data / "glog.conf").write_text("--logtostderr=true\n--minloglevel=1\n")  # without it the server exits
    path = data / "milvus.yaml"
    path.write_text(text.replace("\netcd:\n", f"\netcd:\n  config:\n    path: {etcd}\n", 1))
    return path


def main() -> None:
    """The command line that the image's Dockerfile and entry point use."""
    action, first, second = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if action == "unpack":
        unpack(first, second)
    else:
        configure(first, second)


if __name__ == "__main__":
    main()
