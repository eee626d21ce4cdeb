"""What a schedule needs to know of the processor it is made for."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm.target import codegen

KIB = 1024


@dataclass(frozen=True)
class Machine:
    """One core. `lanes`: float32 in a vector; `registers`: vectors that fit the register file.

    `l1`, `l2` in bytes are lower bounds of what cores with such vectors have: a schedule must depend on the
    target alone, never on the machine that converts.
    """

    line = 16
    """Floats in a cache line."""
    lanes: int
    registers: int
    fma: bool
    l1: int = 32 * KIB
    l2: int = 512 * KIB

    @classmethod
    def of(cls, target: tvm.target.Target) -> Machine:
        """The machine that an LLVM target describes."""
        if codegen.llvm_cpu_has_features("avx512f", target):
            return cls(lanes=16, registers=32, fma=True, l2=1024 * KIB)
        if codegen.llvm_cpu_has_features("avx", target):
            return cls(lanes=8, registers=16, fma=codegen.llvm_cpu_has_features("fma", target))
        if codegen.llvm_cpu_has_features("neon", target):
            return cls(lanes=4, registers=32, fma=True)
        return cls(lanes=4, registers=16, fma=False)

    def blocks(self, channels: int) -> int:
        """Vectors that hold `channels` floats."""
        return -(-channels // self.lanes)
