"""Compiles kernels for a CPU on threads of its own, while further kernels are still being written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import tvm
from tvm import tirx

from converters.request import ConversionError

# Cores that one conversion uses: the pool runs one for every two.
THREADS = 2


class Compiler:
    """Takes kernels a part at a time; `link` makes a library of them all. A context manager, which waits
    for what is being compiled and forgets the rest."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._threads = ThreadPoolExecutor(min(THREADS, len(os.sched_getaffinity(0))), "compiler")
        self._objects: list[Future[Path]] = []

    def __enter__(self) -> Compiler:
        self._scratch = tempfile.TemporaryDirectory(prefix="kernels-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._scratch.cleanup()

    def submit(self, functions: Mapping[str, tirx.PrimFunc]) -> None:
        """Starts on these kernels as soon as a thread is free."""
        path = Path(self._scratch.name) / f"{len(self._objects)}.o"
        module = tvm.IRModule({tvm.ir.GlobalVar(name): func for name, func in functions.items()})
        self._objects.append(self._threads.submit(self._compile, module, path))

    def _compile(self, module: tvm.IRModule, path: Path) -> Path:
        tvm.compile(module, target=self._target).mod.write_to_file(str(path), "o")
        return path

    def link(self, library: Path) -> None:
        """Waits for all kernels, and links them. ConversionError if one cannot be compiled."""
        try:
            objects = [str(future.result()) for future in self._objects]
        except Exception as error:  # whatever code generation stumbles upon
            raise ConversionError(f"TVM cannot compile the model: {error}") from error
        # By ld.lld from the ziglang wheel: no system compiler is needed, and nothing to link at run time.
        command = [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "-o", str(library), *objects]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConversionError(f"the linker failed: {done.stderr.strip()[-500:]}")
