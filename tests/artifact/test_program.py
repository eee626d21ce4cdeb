"""Views over plain memory, and a program of real kernels in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm  # noqa: F401 - gives views their `numpy`, which bfloat16 needs

from clockwork_triton.artifact.manifest import Step, TensorRef, Variant
from clockwork_triton.artifact.program import Memory, Program


def aligned(size: int) -> np.ndarray:
    memory = np.zeros(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size]


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float32", (2, 3)),
        ("float16", (5,)),
        ("bfloat16", (4,)),
        ("float64", ()),
        ("int8", (1, 2, 3, 1)),
        ("uint64", (2,)),
        ("bool", (3,)),
        ("int32", (0, 4)),
    ],
)
def test_a_view_is_the_bytes_at_its_offset(dtype: str, shape: tuple[int, ...]) -> None:
    memory = aligned(256)
    view = Memory(memory.ctypes.data).view(64, dtype, shape)
    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    memory[64 : 64 + values.nbytes] = np.frombuffer(values.tobytes(), np.uint8)
    assert str(view.dtype) == dtype
    assert tuple(view.shape) == shape
    np.testing.assert_array_equal(view.numpy(), values)


def test_variants_share_views() -> None:
    memory = aligned(128)
    views = Memory(memory.ctypes.data)
    assert views.view(0, "float32", (2,)) is views.view(0, "float32", (2,))
    assert views.view(0, "float32", (2,)) is not views.view(0, "float32", (1, 2))


def test_a_view_outlives_what_made_it() -> None:
    """Its descriptor is its own; only the bytes are the caller's."""
    memory = aligned(64)
    memory[0] = 7
    views = [Memory(memory.ctypes.data).view(0, "uint8", (n,)) for n in range(1, 60)]
    assert all(int(view.numpy()[0]) == 7 for view in views)


def test_views_follow_a_memory_that_moves() -> None:
    here, there = aligned(128), aligned(128)
    here[64:72] = np.float32([1, 2]).view(np.uint8)
    there[64:72] = np.float32([3, 4]).view(np.uint8)
    memory = Memory(here.ctypes.data)
    moved, whole = memory.view(64, "float32", (2,)), memory.view(0, "uint8", (128,))
    memory.move(there.ctypes.data)
    np.testing.assert_array_equal(moved.numpy(), [3, 4])
    np.testing.assert_array_equal(whole.numpy(), there)
    np.testing.assert_array_equal(memory.view(68, "float32", (1,)).numpy(), [4])
    memory.move(here.ctypes.data)
    np.testing.assert_array_equal(moved.numpy(), [1, 2])


def test_steps_run_in_order_on_their_tensors() -> None:
    def add(a: Any, b: Any, out: Any) -> None:
        np.from_dlpack(out)[...] = np.from_dlpack(a) + np.from_dlpack(b)

    def double(a: Any, out: Any) -> None:
        np.from_dlpack(out)[...] = np.from_dlpack(a) * 2

    variant = Variant(
        1,
        64,
        (
            TensorRef("input", 0, 0, "float32", (2,)),
            TensorRef("weight", 1, 64, "float32", (2,)),
            TensorRef("workspace", 0, 0, "float32", (2,)),
            TensorRef("output", 0, 0, "float32", (2,)),
        ),
        (Step("add", (0, 1, 2)), Step("double", (2, 3))),
    )
    weights, workspace, slot = aligned(128), aligned(64), aligned(128)
    weights[64:72] = np.float32([10, 20]).view(np.uint8)
    slot[:8] = np.float32([1, 2]).view(np.uint8)
    program = Program(
        {"add": add, "double": double},
        variant,
        weights=[Memory(workspace.ctypes.data), Memory(weights.ctypes.data)],
        workspace=Memory(workspace.ctypes.data),
        inputs=[Memory(slot.ctypes.data)],
        outputs=[Memory(slot.ctypes.data + 64)],
    )
    program.run()
    np.testing.assert_array_equal(slot[64:72].view(np.float32), [22, 44])


def test_serving_needs_no_tvm_to_import() -> None:
    source = Path(__file__).parents[2] / "clockwork_triton/artifact/program.py"
    top_level = [line for line in source.read_text().splitlines() if line.startswith(("import", "from"))]
    assert not any("tvm" in line for line in top_level)
