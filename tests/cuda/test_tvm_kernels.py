"""What no template knows, by TVM's kernels and by operators in the place of those that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from clockwork_triton.artifact.manifest import Launch
from converters import device_code
from converters.request import ConversionError
from converters.warps import whole_warps
from tests.cuda.checks import Case
from tests.cuda.emulator import needs_emulation

INT64, INT32, DOUBLE = TensorProto.INT64, TensorProto.INT32, TensorProto.DOUBLE


def _check(case: Case, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (actual, expected) in case.answers(directory, monkeypatch).items():
        assert actual.dtype == expected.dtype, name
        if actual.dtype.kind == "i":
            np.testing.assert_array_equal(actual, expected, err_msg=name)
        else:
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6, err_msg=name)


def _ties(*shape: int) -> Any:
    return np.random.default_rng(1).integers(0, 4, shape).astype(np.float32)


@needs_emulation
def test_the_place_of_an_extreme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of several; the first, too, where no element is more than the lowest number."""
    case = Case()
    short, long, deep = (
        case.given(f"x{i}", _ties(*s)) for i, s in enumerate([(3, 50), (3, 1500), (2, 37, 19)])
    )
    low = np.full((3, 7), -np.inf, np.float32)
    low[1, 3] = 1.0
    case.show("last", case.op("ArgMax", short, axis=1, keepdims=0), INT64)
    case.show("long", case.op("ArgMin", long, axis=-1), INT64)
    case.show("middle", case.op("ArgMax", deep, axis=1), INT64)
    case.show("first", case.op("ArgMin", short, axis=0), INT64)
    case.show("last of several", case.op("ArgMax", short, axis=1, select_last_index=1), INT64)
    case.show("lowest", case.op("ArgMax", case.given("low", low), axis=1), INT64)
    case.show("highest", case.op("ArgMin", case.given("high", -low), axis=1), INT64)
    least = np.full((3, 7), np.iinfo(np.int32).min, np.int32)
    case.show("integers", case.op("ArgMax", case.given("least", least), axis=1), INT64)
    _check(case, tmp_path, monkeypatch)


@needs_emulation
def test_doubles_and_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    random = np.random.default_rng(2)
    double, tall = (
        case.given(f"d{i}", random.standard_normal(s)) for i, s in enumerate([(40, 70), (70, 20)])
    )
    whole = case.given("whole", random.integers(-9, 9, (40, 33)).astype(np.int32))
    other = case.given("other", random.integers(-9, 9, (33, 20)).astype(np.int32))
    large, right = (
        case.given(f"l{i}", random.integers(-9, 9, s)) for i, s in enumerate([(2, 40, 33), (2, 33, 20)])
    )
    axis = case.constant([1], np.int64)
    case.show("double softmax", case.op("Softmax", double, axis=-1), DOUBLE)
    case.show("double sum", case.op("ReduceSum", double, axis, keepdims=0), DOUBLE)
    case.show("double mean", case.op("ReduceMean", double, axes=[0]), DOUBLE)
    case.show("double product", case.op("MatMul", double, tall), DOUBLE)
    case.show("product", case.op("MatMul", whole, other), INT32)
    case.show("products", case.op("MatMul", large, right), INT64)
    case.show("sum", case.op("ReduceSum", whole, axis, keepdims=0), INT32)
    case.show("sum of all", case.op("ReduceSum", large, keepdims=0), INT64)
    case.show("max", case.op("ReduceMax", whole, axes=[0], keepdims=0), INT32)
    case.show("min", case.op("ReduceMin", large, axes=[2], keepdims=0), INT64)
    _check(case, tmp_path, monkeypatch)


@needs_emulation
def test_the_normalisation_of_instances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    scale, shift = case.random("scale", (5,), 1.0), case.random("shift", (5,), 1.0)
    case.show("y", case.op("InstanceNormalization", case.data("x", 2, 5, 9, 7), scale, shift))
    _check(case, tmp_path, monkeypatch)


@needs_emulation
def test_the_largest_and_running_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    x, tied = case.data("x", 3, 40), case.given("tied", _ties(6, 9))
    for name, tensor, k, more in (
        ("largest", x, 5, {}),
        ("smallest", x, 40, {"largest": 0}),
        ("across", tied, 4, {"axis": 0}),
        ("one", tied, 1, {}),
    ):
        found = case.ops("TopK", tensor, case.constant([k], np.int64), count=2, **more)
        case.show(f"{name} values", found[0])
        case.show(f"{name} places", found[1], INT64)
    axes = [case.constant(axis, np.int64) for axis in (0, 1)]
    case.show("sums", case.op("CumSum", x, axes[1]))
    case.show("exclusive", case.op("CumSum", x, axes[0], exclusive=1))
    case.show("backwards", case.op("CumSum", x, axes[1], reverse=1))
    case.show("whole", case.op("CumSum", case.given("n", np.arange(12).reshape(3, 4)), axes[1]), INT64)
    case.show("elements", case.op("GatherElements", x, case.given("at", np.array([[2, 0, 1]])), axis=0))
    _check(case, tmp_path, monkeypatch)


@needs_emulation
def test_places_lie_inside_even_among_nans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    values = np.full((2, 9), np.nan, np.float32)
    values[1, 4] = 1.0
    x = case.given("x", values)
    case.show("best", case.op("ArgMax", x, axis=1), INT64)
    case.show("three", case.ops("TopK", x, case.constant([3], np.int64), count=2)[1], INT64)
    for actual, _ in case.answers(tmp_path, monkeypatch).values():
        assert ((actual >= 0) & (actual < 9)).all()


@pytest.mark.parametrize("operator", ["ScatterND", "ScatterElements"])
def test_what_only_a_host_computes_says_where_to_serve_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operator: str
) -> None:
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"")
    case = Case()
    places = case.given("places", np.array([[1, 5, 0, 2]] if operator == "ScatterElements" else [[1], [5]]))
    updates = case.data("updates", 1 if operator == "ScatterElements" else 2, 4)
    case.show("y", case.op(operator, case.data("x", 8, 4), places, updates))
    with pytest.raises(ConversionError, match=r"on the host, .*: serve the model on the CPU .* KIND_CPU"):
        case.converted(tmp_path, "fp32", "sm_80")


def test_shuffles_take_whole_warps_where_blocks_are_whole_warps() -> None:
    text = "".join(
        f'extern "C" __global__ void __launch_bounds__(64) {name}(float* x) {{ m = __activemask(); }}\n'
        for name in ("even", "odd")
    )
    launches = [Launch("even", (1, 1, 1), (8, 8, 1), 0, ()), Launch("odd", (1, 1, 1), (8, 5, 1), 0, ())]
    even, odd = whole_warps("uint m;\n" + text, launches).splitlines()[1:]
    assert "m = 0xffffffffu;" in even
    assert "m = __activemask();" in odd
