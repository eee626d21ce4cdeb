"""The machines that artifacts are made for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from clockwork_triton.artifact.cpu_features import from_llvm
from converters import nvcc
from converters.arch import capability_of
from converters.request import ConversionError, ConversionRequest


def resolve(request: ConversionRequest) -> Any:
    """The `tvm.target.Target` of a request; `arch` "" becomes this machine's CPU."""
    import tvm
    from tvm.target import codegen

    host = {"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu(), "num-cores": request.threads}
    if request.target == "cpu":
        mcpu = request.arch or host["mcpu"]
        if not codegen.llvm_is_valid_cpu(mcpu, codegen.llvm_get_system_triple()):
            raise ConversionError(f"'{mcpu}' is not a CPU that LLVM knows for this machine's architecture")
        return tvm.target.Target({**host, "mcpu": mcpu})
    if request.target == "cuda":
        if not request.arch:
            raise ConversionError("a GPU's architecture is to be named: --arch sm_XX")
        capability_of(request.arch)
        return tvm.target.Target({"kind": "cuda", "arch": request.arch}, host=tvm.target.Target(host))
    raise ConversionError(f"unknown target '{request.target}': expected cpu or cuda")


def gpu_arch(target: Any) -> str:
    """The architecture of the device code for a `tvm.target.Target`; empty for a CPU."""
    return str(target.attrs["arch"]) if target.kind.name == "cuda" else ""


def cpu_features(target: Any) -> tuple[str, ...]:
    """What a CPU has to have to run what is compiled for a `tvm.target.Target`. Device code needs nothing."""
    from tvm.target import codegen

    if target.kind.name == "cuda":
        return ()
    return from_llvm([str(name) for name in codegen.llvm_get_cpu_features(target)])


def toolchain(request: ConversionRequest) -> dict[str, str]:
    """What else makes a target's code, by name: for a GPU nvcc's version, empty where there is none."""
    return {"nvcc": nvcc.version()} if request.target == "cuda" else {}


def fingerprint(request: ConversionRequest) -> str:
    """What stands for the target in the cache's key, told without importing TVM.

    A named architecture is itself. "This machine's" is resolved by LLVM from the CPU's identity and
    features, so their hash determines it.
    """
    named = f"{request.target}:{request.arch}:{request.threads}"
    if request.arch:
        return named
    fields = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    chosen = [line for line in lines if line.split(":")[0].strip() in fields]
    digest = hashlib.sha256("\n".join(chosen).encode()).hexdigest()
    return f"{named}:{digest}"
