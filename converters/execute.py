"""Runs an artifact on arrays, in this process and on its CPU: for checks, tests and tools.

A worker does the same with memory it planned itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clockwork_triton.artifact.anonymous import AnonymousMemory
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.artifact.program import Memory, Program, load_kernels
from clockwork_triton.datatypes import numpy_dtype

Array = npt.NDArray[np.generic]


class LoadedArtifact:
    """An artifact with its weights in memory and its variants bound."""

    def __init__(self, directory: Path) -> None:
        self.manifest = Manifest.read(directory)
        self._kernels = load_kernels(directory)
        self._weights = _weights(directory / "weights.bin")
        self._workspace = _memory(self.manifest.workspace_bytes)
        slot = max(self.manifest.slot(size).bytes for size in self.manifest.batch_sizes)
        self._slot = _memory(slot)
        base = self._weights.ctypes.data
        self._segments = [Memory(base + segment.file_offset) for segment in self.manifest.segments]
        self._programs = {size: self._bind(size) for size in self.manifest.batch_sizes}

    def _bind(self, batch_size: int) -> Program:
        slot = self.manifest.slot(batch_size)
        return Program(
            self._kernels,
            self.manifest.variants[batch_size],
            weights=self._segments,
            workspace=Memory(self._workspace.ctypes.data),
            inputs=[Memory(self._slot.ctypes.data + offset) for offset in slot.inputs],
            outputs=[Memory(self._slot.ctypes.data + offset) for offset in slot.outputs],
        )

    def run(self, batch_size: int, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for `inputs`, both with the batch dimension and in the manifest's order."""
        self.take(batch_size, inputs)
        self.infer(batch_size)
        return self.outputs(batch_size)

    def take(self, batch_size: int, inputs: Sequence[Array]) -> None:
        """Puts `inputs` where `infer` reads them."""
        slot = self.manifest.slot(batch_size)
        for array, offset, tensor in zip(inputs, slot.inputs, self.manifest.inputs, strict=True):
            assert str(array.dtype) == tensor.dtype
            assert array.shape == self._shape(batch_size, tensor.shape)
            self._slot[offset : offset + array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)

    def infer(self, batch_size: int) -> None:
        """What a worker does, and measures, for an INFER."""
        self._programs[batch_size].run()

    def outputs(self, batch_size: int) -> list[Array]:
        """Copies of what `infer` wrote last."""
        outputs = []
        slot = self.manifest.slot(batch_size)
        for offset, tensor in zip(slot.outputs, self.manifest.outputs, strict=True):
            size = tensor.row_bytes * batch_size
            flat = self._slot[offset : offset + size].copy().view(numpy_dtype(tensor.dtype))
            outputs.append(flat.reshape(self._shape(batch_size, tensor.shape)))
        return outputs

    def _shape(self, batch_size: int, row: tuple[int, ...]) -> tuple[int, ...]:
        return (batch_size, *row) if self.manifest.max_batch_size else row


def _memory(size: int) -> npt.NDArray[np.uint8]:
    """Zeroed bytes like a worker's: where weights lie decides how long they take to read."""
    return AnonymousMemory(size).bytes[:size]


def _weights(path: Path) -> npt.NDArray[np.uint8]:
    """The file's bytes, in memory like a worker's."""
    memory = _memory(path.stat().st_size)
    with path.open("rb") as file:
        assert file.readinto(memory.data) == memory.size
    return memory
