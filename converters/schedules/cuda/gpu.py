"""What a schedule needs to know of the GPU it is made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from converters.arch import capability_of
from converters.request import PRECISIONS
from converters.schedules.cuda.parts import Part, part_of

ARITHMETIC = {"fp32": "FP32", "tf32": "TF32", "fp16": "FP16"}


@dataclass(frozen=True)
class Gpu:
    """`capability`: 80 for sm_80. `precision`: of products, one of PRECISIONS."""

    capability: int
    precision: str

    @classmethod
    def of(cls, target: Any, precision: str) -> Gpu:
        """The GPU that a CUDA target describes."""
        assert precision in PRECISIONS
        return cls(capability_of(str(target.attrs["arch"])), precision)

    @property
    def part(self) -> Part:
        return part_of(self.capability)

    @property
    def products(self) -> int:
        """In a clock, of one multiprocessor."""
        return {"fp32": self.part.fp32, "tf32": self.part.tf32, "fp16": 2 * self.part.tf32}[self.precision]
