"""A tiny artifact made by hand: out = x * scale + shift over rows of four numbers."""

from __future__ import annotations

import operator
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clockwork_triton.artifact import Distribution, Manifest, Profile, Segment, Step, TensorRef, Variant
from clockwork_triton.datatypes import TensorSpec

PAGE = 4096
WIDTH = 4
SIZES = (1, 2)
BROKEN_SIZE = 4
"""A batch size whose kernel is called with tensors of a wrong shape, so that it fails."""
SCALE = np.array([1, 2, 3, 4], np.float32)
SHIFT = np.array([10, 20, 30, 40], np.float32)

Floats = npt.NDArray[np.float32]


def expected(x: Floats) -> Floats:
    return x * SCALE + SHIFT


def manifest() -> Manifest:
    """Scale and shift lie in segments of their own; the second is two pages large."""
    return Manifest(
        name="tiny",
        target="cpu",
        max_batch_size=BROKEN_SIZE,
        inputs=(TensorSpec("x", "float32", (WIDTH,)),),
        outputs=(TensorSpec("y", "float32", (WIDTH,)),),
        page_bytes=PAGE,
        segments=(Segment(0, SCALE.nbytes, 1), Segment(PAGE, PAGE + SHIFT.nbytes, 2)),
        variants={size: _variant(size) for size in (*SIZES, BROKEN_SIZE)},
        origin={},
    )


def _variant(size: int) -> Variant:
    shape = (size, WIDTH)
    compiled = size if size in SIZES else SIZES[0]
    tensors = (
        TensorRef("input", 0, 0, "float32", shape),
        TensorRef("weight", 0, 0, "float32", (WIDTH,)),
        TensorRef("weight", 1, PAGE, "float32", (WIDTH,)),
        TensorRef("workspace", 0, 64, "float32", shape),
        TensorRef("output", 0, 0, "float32", shape),
    )
    steps = (Step(f"scale_{compiled}", (0, 1, 3)), Step(f"shift_{compiled}", (3, 2, 4)))
    return Variant(size, 64 + 4 * size * WIDTH, tensors, steps)


def write(directory: Path, kernels: Path | None) -> Path:
    """Writes the artifact; `kernels` is the library that `compile_kernels` made, None for none."""
    directory.mkdir()
    (directory / "manifest.json").write_text(manifest().to_json())
    weights = bytearray(3 * PAGE)
    weights[: SCALE.nbytes] = SCALE.tobytes()
    weights[2 * PAGE : 2 * PAGE + SHIFT.nbytes] = SHIFT.tobytes()
    (directory / "weights.bin").write_bytes(weights)
    if kernels is not None:
        (directory / "kernels.so").symlink_to(kernels)
    return directory


def write_profile(directory: Path, kind: str, load_ns: int, infer_ns: dict[int, int]) -> None:
    infer = {size: Distribution.of([duration]) for size, duration in infer_ns.items()}
    Profile(kind, Distribution.of([load_ns]), infer).write(directory)


def with_changes(directory: Path, **fields: object) -> None:
    """Changes the artifact's manifest."""
    (directory / "manifest.json").write_text(replace(manifest(), **fields).to_json())  # type: ignore[arg-type]


def compile_kernels(library: Path) -> Path:
    import tvm
    from tvm import te

    functions = {}
    for size in SIZES:
        x = te.placeholder((size, WIDTH), name="x")
        w = te.placeholder((WIDTH,), name="w")
        for name, combine in (("scale", operator.mul), ("shift", operator.add)):
            y = te.compute((size, WIDTH), _broadcast(combine, x, w), "y")
            functions[f"{name}_{size}"] = te.create_prim_func([x, w, y])
    module = tvm.IRModule(
        {tvm.ir.GlobalVar(name): f.with_attr("global_symbol", name) for name, f in functions.items()}
    )
    tvm.compile(module, target=tvm.target.Target("llvm")).export_library(str(library), fcompile=_link)
    return library


def _broadcast(combine: Callable[[Any, Any], Any], x: Any, w: Any) -> Callable[[Any, Any], Any]:
    return lambda i, j: combine(x[i, j], w[j])


def _link(output: str, objects: list[str], options: object = None, **_: Any) -> None:
    command = [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "-o", output, *objects]
    subprocess.run(command, check=True, capture_output=True)


_link.object_format = "o"  # type: ignore[attr-defined]
