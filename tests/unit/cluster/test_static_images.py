"""An image written by hand is one that a container runtime would take."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from cluster.static_images import write_archive


def test_the_archive_holds_the_program_as_entry_point_of_a_user_who_is_not_root(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"binary")
    write_archive(tmp_path / "image.tar", program, "ragops.dev/pause:1")
    with tarfile.open(tmp_path / "image.tar") as archive:
        archive.extractall(tmp_path / "image", filter="data")
    [manifest] = json.loads((tmp_path / "image/manifest.json").read_text())
    configuration = json.loads((tmp_path / "image" / manifest["Config"]).read_text())
    layer = tmp_path / "image" / manifest["Layers"][0]
    assert manifest["RepoTags"] == ["ragops.dev/pause:1"]
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"]
    assert configuration["config"] == {"Entrypoint": ["/pause"], "User": "65534:65534"}
    with tarfile.open(layer) as content:
        member = content.getmember("pause")
        assert (member.mode, member.size) == (0o755, len(b"binary"))
