"""The distinct kernels of an artifact: gathered over its batch sizes, compiled, linked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

from clockwork_triton.artifact.manifest import Launch
from converters import device_code
from converters.graph import Value
from converters.request import ConversionError
from converters.scratch import STACK_BYTES, lift_scratch


@dataclass
class KernelSet:
    """Kernels by name. Functions that are structurally equal are one kernel, whoever calls them."""

    target: Any
    precision: str = "tf32"
    """Of products on a GPU."""
    functions: dict[str, tirx.PrimFunc] = field(default_factory=dict)
    scratch: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    _names: dict[Any, str] = field(default_factory=dict)

    def add(self, func: tirx.PrimFunc, hint: str) -> str:
        """The kernel's name, made from `hint` if it is new. Its private memory: `scratch[name]`."""
        key = tvm_ffi.StructuralKey(func.without_attr("global_symbol"))
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._fresh(hint)
            # Device code has no stack that two of its functions share.
            smallest = 0 if self.target.kind.name == "cuda" else STACK_BYTES
            lifted, self.scratch[name] = lift_scratch(func, smallest)
            self.functions[name] = lifted.with_attr("global_symbol", name)
        return name

    def _fresh(self, hint: str) -> str:
        count = 1
        name = hint
        while name in self.functions:
            count += 1
            name = f"{hint}_{count}"
        return name

    def compile(self, directory: Path) -> Mapping[str, tuple[Launch, ...]]:
        """Writes the code into `directory`; for a GPU, how each kernel is launched."""
        if self.target.kind.name != "cuda":
            self._compile_library(directory / "kernels.so")
            return {}
        code = device_code.build(self.functions, self.target)
        (directory / "kernels.cubin").write_bytes(code.cubin)
        (directory / "kernels.cu").write_text(code.source)
        return code.launches

    def _compile_library(self, library: Path) -> None:
        """No system compiler is needed, and nothing to link against at run time."""
        module = tvm.IRModule({tvm.ir.GlobalVar(name): func for name, func in self.functions.items()})
        try:
            compiled = tvm.compile(module, target=self.target)
        except Exception as error:  # whatever code generation stumbles upon
            raise ConversionError(f"TVM cannot compile the model: {error}") from error
        compiled.export_library(str(library), fcompile=_link)


def _link(output: str, objects: list[str], options: object = None, **_: object) -> None:
    """`fcompile` of TVM's export: ld.lld from the ziglang wheel."""
    command = [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "-o", output, *objects]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConversionError(f"the linker failed: {done.stderr.strip()[-500:]}")


_link.object_format = "o"  # type: ignore[attr-defined]
