"""The embedder tells nobody that it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import rag_embedder.engines.openvino_engine
import openvino, openvino.tools.ovc, sys
loaded = [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
assert not loaded, loaded
"""


def test_openvinos_telemetry_is_never_loaded_and_leaves_no_identifier_behind(tmp_path: Path) -> None:
    roots = os.pathsep.join(str(Path(__file__).parents[3] / "images" / part) for part in ("common", "embedder"))
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": roots}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
