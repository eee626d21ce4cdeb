"""Runs device code on the CPU: the source of an artifact's kernels, compiled with an emulated GPU around
it."""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clockwork_triton.artifact.manifest import Launch, Manifest
from clockwork_triton.datatypes import numpy_dtype
from converters.device_code import HEADERS, MACHINE
from converters.nvcc import find_compiler

Array = np.ndarray[Any, Any]

INCLUDE = Path(__file__).parent / "include"
COMPILER = shutil.which("g++")
needs_emulation = pytest.mark.skipif(COMPILER is None, reason="no g++ to compile the emulation of a GPU with")
needs_nvcc = pytest.mark.skipif(find_compiler() is None, reason="no nvcc to compile device code with")

POISON = 0xFF
BEHIND = 4096
"""Bytes behind every tensor, which nobody may write."""


class Emulator:
    """The functions of one source. `reverse`: threads run in the opposite order."""

    def __init__(self, source: str, directory: Path, *, reverse: bool = False) -> None:
        assert COMPILER is not None
        machine = (HEADERS / MACHINE).read_text()
        assert machine in source
        text = source.replace(machine, '#include "emulation.h"\n')
        # g++ has alignas before everything else, where nvcc takes it anywhere.
        text = re.sub(r"__shared__ (alignas\(\d+\))", r"\1 __shared__", text)
        emulation = (INCLUDE / "emulation.h").read_text()
        digest = hashlib.sha256((emulation + text).encode()).hexdigest()[:16]
        written, library = directory / f"{digest}.cpp", directory / f"{digest}.so"
        if not library.exists():
            written.write_text(text)
            flags = ["-O1", "-std=c++17", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", f"-I{INCLUDE}"]
            # A GPU faults where an address is no multiple of what is read there; so does this.
            strict = ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
            command = [COMPILER, *flags, *strict, "-o", str(library), str(written)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[:4000]
        self.path = library
        self._library = ctypes.CDLL(str(library))
        self._reverse = reverse

    def launch(self, launch: Launch, addresses: Sequence[int]) -> None:
        """Runs all threads of a launch; `addresses` are its arguments."""
        function = ctypes.cast(getattr(self._library, launch.function), ctypes.c_void_p)
        arguments = (ctypes.c_void_p * 32)(*addresses)
        dim3 = ctypes.c_uint * 3
        self._library.emulate(
            function,
            arguments,
            dim3(*launch.grid),
            dim3(*launch.block),
            launch.shared_bytes,
            int(self._reverse),
        )


class EmulatedArtifact:
    """An artifact for a GPU, run on arrays. What nothing has written yet is NaN."""

    def __init__(self, directory: Path, *, reverse: bool = False) -> None:
        self.manifest = Manifest.read(directory)
        self._emulator = Emulator((directory / "kernels.cu").read_text(), directory, reverse=reverse)
        data = np.frombuffer((directory / "weights.bin").read_bytes(), np.uint8)
        self._segments = []
        for segment in self.manifest.segments:
            memory = _memory(segment.bytes)
            memory[: segment.bytes] = data[segment.file_offset : segment.file_offset + segment.bytes]
            self._segments.append(memory)

    def run(self, batch_size: int, inputs: Sequence[Array]) -> list[Array]:
        manifest = self.manifest
        variant = manifest.variants[batch_size]
        ins = [_memory(array.nbytes) for array in inputs]
        for memory, array in zip(ins, inputs, strict=True):
            memory[: array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
        outs = [_memory(tensor.row_bytes * batch_size) for tensor in manifest.outputs]
        spaces = {
            "weight": self._segments,
            "workspace": [_memory(variant.workspace_bytes)],
            "input": ins,
            "output": outs,
        }
        addresses = [
            spaces[tensor.space][tensor.index].ctypes.data + tensor.offset for tensor in variant.tensors
        ]
        for step in variant.steps:
            for launch in manifest.launches[step.kernel]:
                self._emulator.launch(launch, [addresses[step.args[i]] for i in launch.args])
        for memory in (*outs, *spaces["workspace"], *self._segments):
            assert (memory[-BEHIND:] == POISON).all(), "a kernel wrote behind the end of its memory"
        results = []
        for memory, tensor in zip(outs, manifest.outputs, strict=True):
            shape = (batch_size, *tensor.shape) if manifest.max_batch_size else tensor.shape
            size = tensor.row_bytes * batch_size
            results.append(memory[:size].view(numpy_dtype(tensor.dtype)).reshape(shape).copy())
        return results


def _memory(size: int) -> Array:
    """So many poisoned bytes, and BEHIND, that begin at a multiple of 256, as device memory does."""
    memory = np.full(size + 256 + BEHIND, POISON, np.uint8)
    begin = -memory.ctypes.data % 256
    return memory[begin : begin + size + BEHIND]
