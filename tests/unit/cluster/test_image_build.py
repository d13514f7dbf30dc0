"""An image is named by what goes into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import image_build
from cluster.commands import ClusterError
from cluster.image_build import Image, discover, pushed_reference

DOCKERFILE = """\
ARG BASE=python:3.13-slim-trixie
FROM ${BASE} AS build
COPY requirements/thing.txt /tmp/
RUN --mount=type=bind,source=wheels,target=/wheels \\
    pip install
FROM ${BASE}
COPY --from=build /opt/venv /opt/venv
COPY --chown=1:1 package \\
     more.txt /opt/
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "requirements/thing.txt": "a==1",
        "wheels/one.whl": "",
        "package/module.py": "x = 1",
        "package/__pycache__/module.pyc": "",
        "more.txt": "more",
        "unrelated.txt": "unrelated",
        "images/thing/Dockerfile": DOCKERFILE,
        "images/heavy/Dockerfile": "ARG BASE=vllm/vllm-openai\nFROM ${BASE}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(image_build, "REPOSITORY", tmp_path)
    return tmp_path


def thing(repository: Path) -> Image:
    return Image("thing", repository / "images/thing/Dockerfile")


def test_sources_are_what_copy_and_bind_mounts_name_and_nothing_else(repository: Path) -> None:
    names = [str(path.relative_to(repository)) for path in thing(repository).sources()]
    assert names == ["more.txt", "package/module.py", "requirements/thing.txt", "wheels/one.whl"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda root: (root / "package/module.py").write_text("x = 2"),
        lambda root: (root / "package/new.py").write_text(""),
        lambda root: (root / "more.txt").unlink(),
        lambda root: (root / "more.txt").chmod(0o755),
        lambda root: (root / "images/thing/Dockerfile").write_text(DOCKERFILE + "USER 1\n"),
    ],
)
def test_the_name_changes_with_the_content(repository: Path, edit: Callable[[Path], object]) -> None:
    before = thing(repository).content_reference()
    edit(repository)
    assert thing(repository).content_reference() != before


def test_the_name_stays_when_other_files_change(repository: Path) -> None:
    before = thing(repository).content_reference()
    (repository / "unrelated.txt").write_text("changed")
    (repository / "package/__pycache__/module.pyc").write_text("changed")
    assert thing(repository).content_reference() == before


def test_an_edit_during_a_build_does_not_rename_the_image(repository: Path) -> None:
    image = thing(repository)
    before = image.content_reference()
    (repository / "package/module.py").write_text("x = 2")
    assert image.content_reference() == before


def test_the_version_is_a_label_or_0_1(repository: Path) -> None:
    assert thing(repository).reference() == "ragops.dev/thing:0.1"
    (repository / "images/thing/Dockerfile").write_text(DOCKERFILE + 'LABEL org.opencontainers.image.version="2.3.5"\n')
    assert thing(repository).reference() == "ragops.dev/thing:2.3.5"


def test_only_images_on_the_local_base_are_built_and_an_unknown_name_is_refused(repository: Path) -> None:
    assert [image.name for image in discover()] == ["thing"]
    with pytest.raises(ClusterError, match=r"\['nothing'\]; there are \['heavy', 'thing'\]"):
        discover(["nothing"])


def test_a_registry_takes_the_place_of_the_group_name(repository: Path) -> None:
    assert pushed_reference(thing(repository), "registry.example/rag/") == "registry.example/rag/thing:0.1"
