"""What a schedule needs to know of the processor it is made for."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm.target import codegen

KIB = 1024

# Of the time of all threads, what they should use at least.
WELL_DIVIDED = 0.9


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
    threads: int = 1
    """Cores that share a kernel."""
    tile: int = 0
    """Which of the cost model's tiles a kernel gets, from the best on."""

    @classmethod
    def of(cls, target: tvm.target.Target) -> Machine:
        """The machine that an LLVM target describes."""
        threads = int(target.attrs.get("num-cores", 1))
        if codegen.llvm_cpu_has_features("avx512f", target):
            return cls(lanes=16, registers=32, fma=True, l2=1024 * KIB, threads=threads)
        if codegen.llvm_cpu_has_features("avx", target):
            fma = codegen.llvm_cpu_has_features("fma", target)
            return cls(lanes=8, registers=16, fma=fma, threads=threads)
        if codegen.llvm_cpu_has_features("neon", target):
            return cls(lanes=4, registers=32, fma=True, threads=threads)
        return cls(lanes=4, registers=16, fma=False, threads=threads)

    def balance(self, extent: int) -> float:
        """How much of all threads' time is used when they share out so many equal pieces."""
        return extent / (self.threads * -(-extent // self.threads))

    def divides_well(self, extent: int) -> bool:
        """Whether threads should share out so many equal pieces."""
        return self.threads > 1 and self.balance(extent) >= WELL_DIVIDED

    def blocks(self, channels: int) -> int:
        """Vectors that hold `channels` floats."""
        return -(-channels // self.lanes)
