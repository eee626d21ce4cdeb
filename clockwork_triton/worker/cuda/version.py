"""Which CUDA a driver has, told also by drivers that do not work."""

from __future__ import annotations

from ctypes import byref, c_int

from clockwork_triton.worker.cuda.driver import CudaError
from clockwork_triton.worker.cuda.symbols import LIBRARY, Library

Version = tuple[int, int]

NEEDED: Version = (12, 4)
"""The first whose drivers have all that a worker calls (cuFuncLoad is the youngest)."""


def cuda_version(path: str = LIBRARY) -> Version | None:
    """Such as (12, 4); None where there is no driver or it does not tell."""
    number = c_int()
    try:
        Library(path).cuDriverGetVersion(byref(number))
    except CudaError:
        return None
    return version_of(number.value)


def version_of(number: int) -> Version:
    """As cuDriverGetVersion has it: 12040."""
    return number // 1000, number % 1000 // 10
