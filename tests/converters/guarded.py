"""Runs an artifact's kernels one by one in one piece of memory, and sees what each of them changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clockwork_triton.artifact.manifest import Manifest, TensorRef, Variant
from clockwork_triton.artifact.program import Memory, load_kernels
from clockwork_triton.datatypes import itemsize

GUARD = 1024


def strays(artifact: Path) -> Iterator[str]:
    """Kernels that write anywhere but to tensors in the workspace or an output that they were given."""
    manifest = Manifest.read(artifact)
    kernels = load_kernels(artifact)
    weights = np.fromfile(artifact / "weights.bin", np.uint8)
    for variant in manifest.variants.values():
        yield from _Guarded(manifest, variant, weights).strays(kernels)


class _Guarded:
    """The memories of a variant behind each other, with room between them."""

    def __init__(self, manifest: Manifest, variant: Variant, weights: np.ndarray) -> None:
        self._manifest = manifest
        self._variant = variant
        tensors = (*manifest.inputs, *manifest.outputs)
        lengths = [len(weights), variant.workspace_bytes]
        lengths += [tensor.row_bytes * variant.batch_size for tensor in tensors]
        self._begins = np.cumsum([GUARD, *(-(-length // 64) * 64 + GUARD for length in lengths)])
        self._memory = _aligned(int(self._begins[-1]))
        self._memory[:] = np.random.default_rng(0).integers(0, 2, len(self._memory), np.uint8)
        self._memory[GUARD : GUARD + len(weights)] = weights

    def strays(self, kernels: Any) -> Iterator[str]:
        views = Memory(self._memory.ctypes.data)
        for step in self._variant.steps:
            tensors = [self._variant.tensors[index] for index in step.args]
            before = self._memory.copy()
            kernels[step.kernel](*(views.view(self._begin(t), t.dtype, t.shape) for t in tensors))
            changed = before != self._memory
            for tensor in tensors:
                if tensor.space in ("workspace", "output"):
                    begin = self._begin(tensor)
                    changed[begin : begin + int(np.prod(tensor.shape)) * itemsize(tensor.dtype)] = False
            if changed.any():
                yield f"{step.kernel} at batch size {self._variant.batch_size}: {int(changed.sum())} bytes"

    def _begin(self, tensor: TensorRef) -> int:
        if tensor.space == "weight":
            return GUARD + self._manifest.segments[tensor.index].file_offset + tensor.offset
        first = {"workspace": 1, "input": 2, "output": 2 + len(self._manifest.inputs)}[tensor.space]
        return int(self._begins[first + tensor.index]) + tensor.offset


def _aligned(size: int) -> np.ndarray:
    memory = np.empty(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size]
