"""The distinct kernels of an artifact: gathered over its batch sizes, compiled, linked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tvm_ffi
from tvm import tirx

from clockwork_triton.artifact.manifest import Launch
from converters import device_code
from converters.compiler import Compiler
from converters.graph import Value
from converters.schedules.cpu.tuning import Tuner
from converters.scratch import STACK_BYTES, lift_scratch

# Kernels that are compiled together: enough that a part costs little beside them, few enough to share out.
PART = 16


@dataclass
class KernelSet:
    """Kernels by name. Functions that are structurally equal are one kernel, whoever calls them."""

    target: Any
    precision: str = "tf32"
    """Of products on a GPU."""
    compiler: Compiler | None = None
    """For a CPU: where kernels go as they come. A GPU's are compiled together."""
    tuner: Tuner | None = None
    """For a CPU: chooses tiles by timing them, which nothing should be compiled beside."""
    trials: int = 0
    """For a CPU: schedules that are tried for each kernel that no template knows."""
    functions: dict[str, tirx.PrimFunc] = field(default_factory=dict)
    scratch: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    _names: dict[Any, str] = field(default_factory=dict)
    _waiting: list[str] = field(default_factory=list)

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
            self._waiting.append(name)
            if len(self._waiting) == PART and self.tuner is None:
                self._hand_over(PART)
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
        if self.compiler is not None:
            self._hand_over(len(self._waiting) // 2)
            self._hand_over(len(self._waiting))
            self.compiler.link(directory / "kernels.so")
            return {}
        code = device_code.build(self.functions, self.target)
        (directory / "kernels.cubin").write_bytes(code.cubin)
        (directory / "kernels.cu").write_text(code.source)
        return code.launches

    def _hand_over(self, count: int) -> None:
        """The first `count` kernels that wait go to the compiler."""
        if self.compiler is not None and count:
            some, self._waiting = self._waiting[:count], self._waiting[count:]
            self.compiler.submit({name: self.functions[name] for name in some})
