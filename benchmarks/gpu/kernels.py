"""Device code that tests/gpu launches beside a model's: compiled where nvcc is, for where it is not."""

from __future__ import annotations

from pathlib import Path

from clockwork_triton.artifact import Manifest
from converters.nvcc import compile_source

FOLDER = "kernels"
ADD, FAULTY = "add.cubin", "faulty.cubin"

ADD_SOURCE = (
    'extern "C" __global__ void add(const float* x, const float* y, float* z)'
    " { z[threadIdx.x] = x[threadIdx.x] + y[0]; }"
)


def faulty_source(manifest: Manifest) -> str:
    """Functions of the artifact's names and arguments that write where nothing is."""
    found = {launch.function: launch for every in manifest.launches.values() for launch in every}
    functions = []
    for name, launch in found.items():
        arguments = ", ".join(f"void* a{number}" for number in range(len(launch.args)))
        shared = "extern __shared__ char memory[];" if launch.shared_bytes else ""
        functions.append(
            f'extern "C" __global__ void {name}({arguments}) {{ {shared} *(volatile int*)16 = 1; }}\n'
        )
    return "".join(functions)


def write(model: Path, manifest: Manifest) -> None:
    """Into a model's folder of a kit. ConversionError if there is no nvcc."""
    folder = model / FOLDER
    folder.mkdir()
    for name, source in ((ADD, ADD_SOURCE), (FAULTY, faulty_source(manifest))):
        (folder / name).write_bytes(compile_source(source, manifest.gpu_arch))
