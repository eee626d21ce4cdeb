"""Instruction sets of CPUs, by the names of /proc/cpuinfo.

Kernels use without asking what they were compiled for; on another CPU that is SIGILL, the end of a worker.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

# LLVM's names, of those that it uses when it compiles kernels: others serve operating systems, and virtual
# machines hide them where LLVM, which knows the model of the CPU, still names them.
_LLVM = {
    "sse3": "pni",
    "ssse3": "ssse3",
    "sse4.1": "sse4_1",
    "sse4.2": "sse4_2",
    "popcnt": "popcnt",
    "lzcnt": "abm",
    "movbe": "movbe",
    "bmi": "bmi1",
    "bmi2": "bmi2",
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "gfni": "gfni",
    "avxvnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512cd": "avx512cd",
    "avx512dq": "avx512dq",
    "avx512vl": "avx512vl",
    "avx512ifma": "avx512ifma",
    "avx512vbmi": "avx512vbmi",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512vnni": "avx512_vnni",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "avx512bf16": "avx512_bf16",
    "avx512fp16": "avx512_fp16",
    "amx-tile": "amx_tile",
    "amx-int8": "amx_int8",
    "amx-bf16": "amx_bf16",
    "neon": "asimd",
    "fullfp16": "asimdhp",
    "dotprod": "asimddp",
    "lse": "atomics",
    "bf16": "bf16",
    "i8mm": "i8mm",
    "sve": "sve",
    "sve2": "sve2",
}


def from_llvm(features: Collection[str]) -> tuple[str, ...]:
    """Those of LLVM's features that compiled kernels use, ascending."""
    return tuple(sorted(_LLVM[feature] for feature in features if feature in _LLVM))


def host_features(cpuinfo: str | None = None) -> frozenset[str]:
    """What this machine's first CPU has; nothing where it does not tell. `cpuinfo`: read if None."""
    if cpuinfo is None:
        path = Path("/proc/cpuinfo")
        cpuinfo = path.read_text() if path.exists() else ""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def missing(required: Collection[str], host: Collection[str]) -> tuple[str, ...]:
    """What a machine lacks, ascending; nothing if it does not tell what it has."""
    return tuple(sorted(set(required) - set(host))) if host else ()
