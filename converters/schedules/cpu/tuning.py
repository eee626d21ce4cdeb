"""Chooses tiles by timing them on this machine, where the cost model only knows its kind.

Of every kernel that multiplies tiles, those with the best few tiles of the cost model are run on random
numbers. What was chosen is kept by what was asked, so that no kernel is timed twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi

from converters.schedules.cpu.convolution import Convolution, Deconvolution
from converters.schedules.cpu.lowering import lower
from converters.schedules.cpu.winograd import Winograd
from converters.schedules.machine import Machine
from converters.schedules.network import ops
from converters.schedules.network.graph import Tensor
from converters.schedules.network.program import Fused
from converters.schedules.network.writer import Lowered

TILED = (Convolution, Deconvolution, Winograd, ops.Matmul)
CANDIDATES = 4
ROUNDS = 7

# A share of the time that another tile than the cost model's must save: less is noise.
WORTHWHILE = 0.03

Measure = Callable[[Sequence[Lowered]], Sequence[float]]
"""From kernels that take the same arguments to the least time of each."""


class Tuner:
    """Lowers operations for the machine of `target` as `lowering.lower` does.

    `choices`: a JSON file that need not exist, if choices are to be kept. Other processes may use it, too:
    what one of them overwrites is measured again.
    """

    def __init__(self, target: Any, choices: Path | None, measure: Measure | None = None) -> None:
        self._machine = Machine.of(target)
        self._file = choices
        self._choices: dict[str, int] = {}
        if choices is not None and choices.exists():
            self._choices = json.loads(choices.read_text())
        self._measure = measure or (lambda kernels: least_times(kernels, target))
        self._is_new = False

    def lower(self, op: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Lowered:
        if not (isinstance(op, Fused) and isinstance(op.anchor, TILED)):
            return lower(op, inputs, outputs, self._machine)
        shapes = [(tensor.shape, tensor.dtype) for tensor in (*inputs, *outputs)]
        key = hashlib.sha256(repr((op, shapes, self._machine)).encode()).hexdigest()
        if key not in self._choices:
            self._choices[key] = self._choose(op, inputs, outputs)
            self._is_new = True
        return lower(op, inputs, outputs, replace(self._machine, tile=self._choices[key]))

    def _choose(self, op: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
        candidates: dict[Any, tuple[int, Lowered]] = {}
        for tile in range(CANDIDATES):
            lowered = lower(op, inputs, outputs, replace(self._machine, tile=tile))
            candidates.setdefault(tvm_ffi.StructuralKey(lowered.func), (tile, lowered))
        tiles, kernels = zip(*candidates.values(), strict=True)
        if len(kernels) == 1:
            return 0
        times = self._measure(kernels)
        best = min(range(len(times)), key=lambda number: times[number])
        return int(tiles[best]) if times[best] < times[0] * (1 - WORTHWHILE) else 0

    def save(self) -> None:
        """Keeps what was chosen since the file was read."""
        if self._file is not None and self._is_new:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w") as file:
                json.dump(self._choices, file, indent=0, sort_keys=True)
            Path(name).replace(self._file)


def least_times(kernels: Sequence[Lowered], target: Any) -> list[float]:
    """Seconds, the least of some rounds in which the kernels take turns."""
    module = tvm.IRModule(
        {
            tvm.ir.GlobalVar(f"k{number}"): kernel.func.with_attr("global_symbol", f"k{number}")
            for number, kernel in enumerate(kernels)
        }
    )
    library = tvm.compile(module, target=target)
    rng = np.random.default_rng(0)
    runs = []
    for number, kernel in enumerate(kernels):
        shapes = [tuple(int(dim) for dim in buffer.shape) for buffer in kernel.func.params]
        tensors = [tvm.runtime.tensor(rng.random(shape, np.float32)) for shape in shapes]
        runs.append((library[f"k{number}"], tensors))
    least = [float("inf")] * len(kernels)
    for _ in range(ROUNDS):
        for number, (function, tensors) in enumerate(runs):
            begin = time.perf_counter()
            function(*tensors)
            least[number] = min(least[number], time.perf_counter() - begin)
    return least
