"""The repository's own rules: what the layout promises and what no file may say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def texts(paths: list[Path]) -> list[tuple[Path, str]]:
    found = []
    for path in paths:
        try:
            found.append((path, path.read_text()))
        except UnicodeDecodeError:
            continue
    return found


def test_operator_is_a_source_root_and_not_a_package() -> None:
    assert not (ROOT / "operator/__init__.py").exists(), "operator/__init__.py would shadow the standard library's operator"


def test_the_standard_library_keeps_its_operator() -> None:
    import operator

    assert not str(operator.__file__).startswith(str(ROOT))


def test_no_file_names_a_package_registry() -> None:
    # Split, so that this file does not find itself.
    hosts = re.compile(
        "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "proxy" + r"\.golang", "registry" + r"\.npmjs", "deb" + r"\.debian"])
    )
    said = [str(path.relative_to(ROOT)) for path, text in texts(tracked()) if hosts.search(text)]
    assert not said


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    home = re.compile(r"(^|[^A-Za-z0-9_.])/(" + "work" + r"|root)/[a-z.]", re.MULTILINE)
    said = [f"{path.relative_to(ROOT)}: {m.group(0)}" for path, text in texts(tracked()) if (m := home.search(text))]
    assert not said


@pytest.mark.parametrize("name", ["uv", "dev", "operator", "embedder", "gateway", "indexer", "s3"])
def test_requirements_are_pinned_with_hashes(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    pins = re.findall(r"^[A-Za-z0-9_.\[\]-]+==[^ \n]+", text, re.MULTILINE)
    assert pins
    assert text.count("--hash=sha256:") >= len(pins)
