"""Products of one tensor with several weights: one launch, whose results are parts of one tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact.manifest import Manifest
from converters.schedules.cuda import problem
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.staging import Staging
from converters.schedules.cuda.tiles import Tile, choose_tile
from tests.cuda.checks import Case
from tests.cuda.emulator import needs_emulation

pytestmark = needs_emulation

LIMITS = {"fp32": 2e-6, "tf32": 2e-3, "fp16": 2e-3}


def _launched(directory: Path, word: str = "matmul") -> list[str]:
    """The device functions that are launched, in order, with that word in their names."""
    manifest = Manifest.read(directory / "artifact")
    kernels = [step.kernel for step in manifest.variants[1].steps]
    functions = [launch.function for kernel in kernels for launch in manifest.launches[kernel]]
    return [function for function in functions if word in function]


def _check(case: Case, directory: Path, monkeypatch: pytest.MonkeyPatch, precision: str = "fp32") -> None:
    found = case.differences(directory, monkeypatch, precision)
    assert {name: value for name, value in found.items() if value > LIMITS[precision]} == {}


def _attention(case: Case) -> None:
    """On 2 x 5 tokens of 24, with 4 heads; the key has no bias."""
    x, split = case.data("x", 2, 5, 24), case.constant([0, 0, 4, 8], np.int64)

    def project(name: str, order: list[int]) -> str:
        part = case.op("MatMul", x, case.random(f"{name}_weight", (24, 32), 0.3))
        if name != "key":
            part = case.op("Add", part, case.random(f"{name}_bias", (32,), 0.5))
        return case.op("Transpose", case.op("Reshape", part, split), perm=order)

    scores = case.op("MatMul", project("query", [0, 2, 1, 3]), project("key", [0, 2, 3, 1]))
    mixed = case.op("MatMul", case.op("Softmax", scores, axis=-1), project("value", [0, 2, 1, 3]))
    case.show("attention", case.op("Reshape", mixed, case.constant([2, 4, 40], np.int64)))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_projections_of_attention_are_one_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    case = Case()
    _attention(case)
    _check(case, tmp_path, monkeypatch, precision)
    names = [name.rsplit("_", 1)[0] for name in _launched(tmp_path, "")]
    assert names == ["matmul_add", "matmul", "max_subtract_exp_sum_divide", "matmul"]
    assert "3x2x5x32" in _launched(tmp_path)[0]


def test_the_depth_of_stacked_products_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(gpu: Gpu, staging: Staging, rows: int, columns: int, depth: int, batches: int) -> Tile:
        tile = choose_tile(gpu, staging, rows, columns, depth, batches)
        return replace(tile, splits=2 if depth > 32 else 1)

    monkeypatch.setattr(problem, "choose_tile", choose)
    case = Case()
    x = case.data("x", 6, 80)
    parts = [case.op("MatMul", x, case.random(f"w{i}", (80, 16), 0.2)) for i in range(2)]
    case.show("y", case.op("MatMul", parts[0], case.op("Transpose", parts[1], perm=[1, 0])))
    _check(case, tmp_path, monkeypatch)
    assert _launched(tmp_path) == ["matmul_2x6x16", "matmul_2x6x16_sum", "matmul_6x6"]


def test_parts_stay_where_they_are_beside_kernels_of_tvm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An integer product is TVM's, whose passes go over the whole network."""
    case = Case()
    _attention(case)
    integers = case.given("integers", np.arange(6).reshape(2, 3))
    case.show("square", case.op("Mul", integers, integers), 7)
    _check(case, tmp_path, monkeypatch)
    assert len(_launched(tmp_path)) == 3
    assert not _launched(tmp_path, "slice") + _launched(tmp_path, "reshape")


def test_a_tensor_in_several_equal_shapes_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporters write a reshape before every Gemm."""
    case = Case()
    x = case.data("x", 2, 4, 12)
    parts = []
    for i in range(2):
        flat = case.op("Reshape", x, case.constant([8, 12], np.int64))
        dense = case.op(
            "Gemm", flat, case.random(f"w{i}", (16, 12), 0.3), case.random(f"b{i}", (16,), 1.0), transB=1
        )
        parts.append(case.op("Reshape", dense, case.constant([2, 4, 16], np.int64)))
    case.show("y", case.op("MatMul", parts[0], case.op("Transpose", parts[1], perm=[0, 2, 1])))
    _check(case, tmp_path, monkeypatch)
    assert len(_launched(tmp_path)) == 2


def test_what_would_be_copied_is_not_stacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, what is joined in place, what a pointwise operation follows, unequal shapes and parts that
    would begin at an address that is not aligned."""
    case = Case()
    x, y, z = case.data("x", 8, 16), case.data("y", 8, 20), case.data("z", 3, 4)

    def dense(left: str, name: str, depth: int, columns: int) -> str:
        return case.op("MatMul", left, case.random(name, (depth, columns), 0.3))

    case.show("output", dense(x, "a", 16, 16))
    turned = case.op("Transpose", dense(x, "b", 16, 16), perm=[1, 0])
    case.show("product", case.op("MatMul", turned, dense(x, "c", 16, 8)))
    joined = [case.op("Reshape", dense(y, f"d{i}", 20, 16), case.constant([1, 128], np.int64)) for i in "01"]
    case.show("sums", case.op("ReduceSum", case.op("Concat", *joined, axis=0), keepdims=0))
    case.show("gate", case.op("Mul", case.op("Sigmoid", dense(y, "e", 20, 32)), dense(y, "f", 20, 32)))
    case.show("odd", case.op("MatMul", dense(z, "g", 4, 3), dense(z, "h", 4, 3)))
    _check(case, tmp_path, monkeypatch)
    assert len(_launched(tmp_path)) == 11


def test_an_addition_that_makes_more_of_a_product_is_no_bias(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case()
    x = case.data("x", 4, 8)
    column = case.op("MatMul", x, case.random("w", (8, 1), 0.3))
    case.show("outer", case.op("Add", column, case.random("b", (5,), 1.0)))
    _check(case, tmp_path, monkeypatch)


def test_constants_of_several_matrices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    x = case.data("x", 2, 1, 3, 5, 9)
    case.show("all", case.op("MatMul", x, case.random("a", (2, 4, 3, 9, 6), 0.3)))
    case.show("some", case.op("MatMul", x, case.random("b", (4, 1, 9, 7), 0.3)))
    case.show("inner", case.op("MatMul", x, case.random("c", (3, 9, 6), 0.3)))
    case.show("one", case.op("MatMul", x, case.random("d", (1, 1, 9, 6), 0.3)))
    for precision in LIMITS:
        (tmp_path / precision).mkdir()
        _check(case, tmp_path / precision, monkeypatch, precision)
