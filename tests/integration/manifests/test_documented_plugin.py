"""The command that installs `kubectl rag`, as a page shows it. It downloads a hundred megabytes, so only a campaign runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cluster.commands import run
from demo.place import programs
from documented import register
from documented.pages import ROOT
from documented.shell import Shell


@pytest.mark.campaign
def test_the_plugin_is_installed_and_kubectl_finds_it(tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", str(tmp_path)])
    kubectl = tmp_path / "bin/kubectl"
    kubectl.symlink_to(programs() / "kubectl")
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "PYTHONPATH": "", "HOME": os.environ["HOME"]}
    shell = Shell(register.PLUGIN, ROOT, environment)
    assert "Usage: kubectl rag" in shell.run("pip install '.[cli]'", then="kubectl rag --help", timeout=500)
    shell.finish()
