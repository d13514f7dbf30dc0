"""Go binaries, built from pinned modules the first time they are needed.

Each directory under `tools/` is a Go module whose go.mod names one program's version and whose go.sum fixes every byte of
it. A binary lies in the cache under a key made of both files and the build flags, so a changed version builds anew and an
unchanged one costs nothing. Building is lazy: `binary("helm")` builds Helm, and nobody else pays for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import CommandError, run
from cluster.paths import PACKAGE, cache_dir, exclusive, scratch_directory
from cluster.steps import step

MODULES = PACKAGE / "tools"
KUBERNETES_VERSION = "v1.36.3"

# Kubernetes prints what the linker is told; without it clients report a version that does not parse.
_KUBERNETES_VERSION_FLAGS = (
    f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
    "-X k8s.io/component-base/version.gitMajor=1",
    "-X k8s.io/component-base/version.gitMinor=36",
    f"-X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}",
)


@dataclass(frozen=True)
class Module:
    """One Go module directory and what is built from it: binary name -> package."""

    name: str
    packages: dict[str, str]
    link_flags: tuple[str, ...] = ()
    build_flags: tuple[str, ...] = ()
    prepare: Callable[[Path], None] | None = None

    def key(self) -> str:
        """Changes when anything that decides the binaries' content changes."""
        digest = hashlib.sha256()
        for file in ("go.mod", "go.sum"):
            digest.update((MODULES / self.name / file).read_bytes())
        digest.update(json.dumps([self.packages, self.link_flags, self.build_flags]).encode())
        return digest.hexdigest()[:12]

    def directory(self) -> Path:
        """Where its binaries lie in the cache."""
        return cache_dir() / "tools" / f"{self.name}-{self.key()}"


def _cut_prometheus_discovery(work: Path) -> None:
    """Keep only Kubernetes discovery: the clouds' client libraries are most of Prometheus' compile time.

    Which discoveries are linked in is decided by one generated file of Prometheus itself, so a copy of the module with a
    shorter file takes the original's place.
    """
    listed = json.loads(run(["go", "mod", "download", "-json", "github.com/prometheus/prometheus"], cwd=work))
    source = work / "source"
    shutil.copytree(listed["Dir"], source, ignore=shutil.ignore_patterns("testdata", "documentation", "mantine-ui", "react-app"))
    for directory, _, _ in os.walk(source):
        os.chmod(directory, 0o755)  # the module cache is read-only
    plugins = source / "plugins" / "plugins.go"
    plugins.chmod(0o644)
    plugins.write_text('package plugins\n\nimport _ "github.com/prometheus/prometheus/discovery/kubernetes"\n')
    run(["go", "mod", "edit", "-replace=github.com/prometheus/prometheus=./source"], cwd=work)


_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
_CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")

MODULE_LIST = (
    Module("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Module("kubernetes", {name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES}, _KUBERNETES_VERSION_FLAGS),
    Module("containerd", {name: f"github.com/containerd/containerd/v2/cmd/{name}" for name in _CONTAINERD}),
    Module("coredns", {"coredns": "github.com/coredns/coredns"}),
    Module(
        "prometheus",
        {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
        build_flags=("-tags", "netgo", "-mod=mod"),
        prepare=_cut_prometheus_discovery,
    ),
    Module("prometheus-adapter", {"prometheus-adapter": "sigs.k8s.io/prometheus-adapter/cmd/adapter"}),
    Module("pause", {"pause": "ragops.dev/tools/pause"}),
    Module("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}),
    Module("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}),
    Module("kubeconform", {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}),
)
_BY_BINARY = {binary: module for module in MODULE_LIST for binary in module.packages}


def binary(name: str) -> Path:
    """The path of a binary, built now if it is not in the cache."""
    module = _BY_BINARY[name]
    path = module.directory() / name
    if not path.exists():
        with exclusive(cache_dir() / "tools" / f".{module.name}.lock"):
            if not path.exists():  # another process may have built it while we waited
                _build(module)
    return path


def ensure(names: Iterable[str]) -> None:
    """Build what is missing, in the order given."""
    for name in names:
        binary(name)


def _build(module: Module) -> None:
    if shutil.which("go") is None:
        raise CommandError(["go", "build"], 127, "Go is not installed; the go.mod files say which version is needed")
    target = module.directory()
    with step(f"build {module.name} from its Go modules"), scratch_directory() as temporary:
        work = temporary / "module"
        shutil.copytree(MODULES / module.name, work)
        if module.prepare:
            module.prepare(work)
        output = temporary / "bin"
        output.mkdir()
        for name, package in module.packages.items():
            run([*_go_build(module), "-o", output / name, package], cwd=work, env=_go_environment(), timeout=3600)
        shutil.rmtree(target, ignore_errors=True)
        output.rename(target)


def _go_build(module: Module) -> list[str]:
    link_flags = " ".join(("-s", "-w", *module.link_flags))
    return ["nice", "-n", "5", "go", "build", "-trimpath", "-ldflags", link_flags, *module.build_flags]


def _go_environment() -> dict[str, str]:
    # Static binaries run in an image that holds nothing else.
    return {**os.environ, "CGO_ENABLED": "0"}
