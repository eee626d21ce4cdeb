"""What GPU kernels compute, on an emulated GPU, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from converters.request import PRECISIONS
from converters.schedules.cuda import problem, tiles
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.staging import Staging
from converters.schedules.cuda.tiles import FEWER_STAGES, TILES, Tile
from tests.cuda.checks import Case
from tests.cuda.emulator import needs_emulation

pytestmark = needs_emulation

EXACT = 2e-6
ROUNDED = {"tf32": 2e-3, "fp16": 2e-3}
"""Of sums of a few hundred products whose factors have ten bits of fraction."""


def _check(case: Case, directory: Path, monkeypatch: pytest.MonkeyPatch, precision: str = "fp32") -> None:
    limit = ROUNDED.get(precision, EXACT)
    found = case.differences(directory, monkeypatch, precision)
    assert {name: value for name, value in found.items() if value > limit} == {}
    if precision != "fp32":
        assert max(found.values()) > EXACT, "nothing was rounded"


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_convolutions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    case = Case()
    x = case.data("x", 2, 12, 9, 11)
    y = case.data("y", 1, 3, 17, 17)
    line = case.data("line", 2, 8, 21)
    cube = case.data("cube", 1, 4, 5, 6, 7)
    case.show("plain", case.conv(x, "plain", (12, 20), 3, pads=[1, 1, 1, 1]))
    case.show("pointwise", case.conv(x, "pointwise", (12, 7), 1))
    case.show("strided", case.conv(x, "strided", (12, 16), 3, strides=[2, 3], pads=[0, 1, 2, 1]))
    case.show("dilated", case.conv(x, "dilated", (12, 16), 3, dilations=[2, 3], pads=[2, 3, 2, 3]))
    case.show("grouped", case.conv(x, "grouped", (12, 18), 3, groups=3, pads=[1, 1, 1, 1]))
    case.show("pointwise groups", case.conv(x, "pointwise_groups", (12, 12), 1, groups=3))
    case.show("few channels", case.conv(y, "few", (3, 10), 7, strides=[2, 2], pads=[3, 3, 3, 3]))
    residual = case.conv(x, "residual", (12, 12), 3, pads=[1, 1, 1, 1])
    case.show("residual", case.op("Relu", case.op("Add", x, residual)))
    one, three = (
        case.random(f"w{rank}", shape, 0.2) for rank, shape in ((1, (6, 8, 5)), (3, (6, 4, 3, 3, 3)))
    )
    case.show("one axis", case.op("Conv", line, one, pads=[2, 2], strides=[2]))
    case.show("three axes", case.op("Conv", cube, three, pads=[1, 1, 1, 1, 1, 1]))
    back = case.random("back", (12, 6, 3, 3), 0.2)
    case.show("transposed", case.op("ConvTranspose", x, back, strides=[2, 2], pads=[1, 1, 1, 1]))
    sides = case.random("sides", (12, 5, 4, 2), 0.2)
    case.show("transposed groups", case.op("ConvTranspose", x, sides, group=2, strides=[3, 1]))
    case.show("unspread", case.op("ConvTranspose", x, back, dilations=[2, 2], pads=[1, 1, 1, 1]))
    _check(case, tmp_path, monkeypatch, precision)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    case = Case()
    x = case.data("x", 3, 17, 24)
    heads = case.data("heads", 2, 6, 4, 16)
    odd = case.data("odd", 5, 7)
    w, bias = case.random("w", (24, 33), 0.3), case.random("bias", (33,), 1.0)
    case.show("dense", case.op("Relu", case.op("Add", case.op("MatMul", x, w), bias)))
    case.show("odd rows", case.op("MatMul", odd, case.random("w7", (7, 3), 0.3)))
    case.show("vector", case.op("MatMul", odd, case.random("v7", (7,), 0.3)))
    case.show("gemm", case.op("Gemm", odd, case.random("g", (9, 7), 0.3), transB=1))
    query = case.op("Transpose", heads, perm=[0, 2, 1, 3])
    key = case.op("Transpose", heads, perm=[0, 2, 3, 1])
    scores = case.op("MatMul", query, key)
    case.show("scores", scores)
    weights = case.op("Softmax", case.op("Mul", scores, case.constant(0.25)), axis=-1)
    mixed = case.op("Transpose", case.op("MatMul", weights, query), perm=[0, 2, 1, 3])
    case.show("attention", case.op("Reshape", mixed, case.constant([2, 6, 64], np.int64)))
    case.show("broadcast", case.op("MatMul", case.data("z", 4, 1, 5, 8), case.data("u", 3, 8, 6)))
    case.show("columns", case.op("MatMul", case.op("Transpose", odd, perm=[1, 0]), case.data("o2", 5, 6)))
    case.show("long", case.op("MatMul", case.data("l", 4, 1500), case.random("lw", (1500, 20), 0.03)))
    _check(case, tmp_path, monkeypatch, precision)


def _tiles() -> list[Any]:
    """Every tile with every precision; a third of them, with every tile and precision in it, is quick."""
    return [
        pytest.param(
            tile,
            precision,
            id=f"{tile.rows}x{tile.columns}-{precision}",
            marks=() if (number + other) % 3 == 0 else pytest.mark.long,
        )
        for number, tile in enumerate(TILES)
        for other, precision in enumerate(PRECISIONS)
    ]


@pytest.mark.parametrize(("tile", "precision"), _tiles())
def test_every_tile_computes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: Tile, precision: str
) -> None:
    """With splits of uneven depth, one with fewer stages; rows and columns end within a tile."""

    def choose(gpu: Gpu, staging: Staging, rows: int, columns: int, depth: int, batches: int) -> Tile:
        if depth > 200:
            return replace(tile, splits=3)
        return replace(tile, stages=FEWER_STAGES if batches > 1 else tile.stages)

    monkeypatch.setattr(problem, "choose_tile", choose)
    case = Case()
    x = case.data("x", 1, 24, 12, 15)
    case.show("conv", case.op("Relu", case.conv(x, "a", (24, 150), 3, pads=[1, 1, 1, 1])))
    case.show("small depth", case.conv(x, "b", (24, 131), 1))
    heads = case.data("heads", 2, 40, 20)
    case.show("scores", case.op("MatMul", heads, case.op("Transpose", heads, perm=[0, 2, 1])))
    _check(case, tmp_path, monkeypatch, precision)


@pytest.mark.parametrize("tile", [TILES[3], TILES[7]], ids=lambda tile: f"{tile.rows}x{tile.columns}")
def test_rows_columns_and_steps_about_those_of_a_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: Tile
) -> None:
    """One less, as many, and one more; what a block has none of is neither read nor written."""
    monkeypatch.setattr(tiles, "TILES", (tile,))
    case = Case()
    about = (-1, 0, 1)
    for rows, columns in product(about, about):
        m, n = tile.rows + rows, 2 * tile.columns + columns
        name = f"{m}x{n}"
        x, w = case.data(f"x{name}", m, 20), case.random(f"w{name}", (20, n), 0.3)
        sums = case.op("Add", case.op("MatMul", x, w), case.random(f"b{name}", (n,), 1.0))
        case.show(name, case.op("Relu", case.op("Add", sums, case.data(f"r{name}", m, n))))
    for depth in (32, 33, 64, 65, 96, 128, 160, 161):
        x, w = case.data(f"x{depth}", 2, depth), case.random(f"w{depth}", (depth, 8), 0.3)
        case.show(f"{depth} deep", case.op("MatMul", x, w))
    _check(case, tmp_path, monkeypatch)


def test_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    x = case.conv(case.data("x", 2, 3, 13, 15), "to_last", (3, 12), 1)
    odd = case.conv(case.data("odd", 1, 3, 8, 8), "odd_last", (3, 5), 1)
    depthwise = {"strides": [2, 1], "pads": [1, 1, 1, 1]}
    case.show(
        "depthwise",
        case.op("Clip", case.conv(x, "d", (12, 12), 3, groups=12, **depthwise), case.constant(0.0)),
    )
    case.show("odd depthwise", case.conv(odd, "e", (5, 5), 5, groups=5, pads=[2, 2, 2, 2]))
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    case.show("max", case.op("MaxPool", x, **window))
    case.show("odd max", case.op("MaxPool", odd, kernel_shape=[2, 2], ceil_mode=1, strides=[3, 3]))
    case.show("average", case.op("AveragePool", x, **window))
    case.show("counted", case.op("AveragePool", x, count_include_pad=1, **window))
    case.show("global", case.op("GlobalAveragePool", x))
    case.show("global max", case.op("GlobalMaxPool", x))
    case.show("lrn", case.op("LRN", x, size=5, alpha=0.1))
    twice = case.constant([1.0, 1.0, 2.0, 2.0])
    case.show("nearest", case.op("Resize", x, "", twice, mode="nearest"))
    case.show("linear", case.op("Resize", x, "", case.constant([1.0, 1.0, 2.0, 3.0]), mode="linear"))
    shuffled = case.op("Reshape", x, case.constant([2, 3, 4, 13, 15], np.int64))
    shuffled = case.op("Transpose", shuffled, perm=[0, 2, 1, 3, 4])
    case.show("shuffle", case.op("Reshape", shuffled, case.constant([2, 12, 13, 15], np.int64)))
    _check(case, tmp_path, monkeypatch)


def test_movements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    x = case.data("x", 2, 6, 4, 8)
    images = case.conv(case.data("images", 1, 4, 6, 6), "images_last", (4, 8), 1)
    ids = case.indices("ids", 11, 3, 5)
    case.show("transpose", case.op("Transpose", x, perm=[3, 0, 2, 1]))
    case.show("concat", case.op("Concat", x, case.op("Neg", x), x, axis=1))
    channels = case.op("Concat", images, case.op("Relu", images), axis=1)
    case.show("channels", channels)
    case.show("rows", case.op("Concat", images, images, axis=2))
    begins, ends, axes, steps = (case.constant(v, np.int64) for v in ([1, 0], [6, 7], [1, 3], [2, 3]))
    case.show("slice", case.op("Slice", x, begins, ends, axes, steps))
    case.show("pad", case.op("Pad", x, case.constant([0, 1, 2, 0, 1, 0, 0, 3], np.int64), case.constant(0.5)))
    case.show("gather", case.op("Gather", case.random("table", (11, 12), 1.0), ids, axis=0))
    case.show("gather last", case.op("Gather", x, case.constant([3, 0, 5], np.int64), axis=3))
    case.show("moved ids", case.op("Transpose", ids, perm=[1, 0]), TensorProto.INT64)
    expand = case.constant([3, 2, 6, 4, 8], np.int64)
    case.show("expand", case.op("Expand", x, expand))
    more = case.indices("more", 11, 5)
    for kind in ("Max", "Min"):
        case.show(f"whole {kind}", case.op(kind, ids, case.constant(4, np.int64), more), TensorProto.INT64)
    case.show("flat", case.op("Flatten", images, axis=1))
    case.show("cast", case.op("Cast", ids, to=TensorProto.FLOAT))
    case.show("equal", case.op("Equal", ids, case.constant(3, np.int64)), TensorProto.BOOL)
    _check(case, tmp_path, monkeypatch)


def test_reductions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    x = case.data("x", 3, 5, 33)
    long = case.data("long", 2, 1500)
    deep = case.data("deep", 2, 70, 37)
    case.show("softmax", case.op("Softmax", x, axis=-1))
    case.show("long softmax", case.op("Softmax", long, axis=-1))
    case.show("softmax across", case.op("Softmax", deep, axis=1))
    case.show("short softmax across", case.op("Softmax", x, axis=1))
    case.show("log softmax", case.op("LogSoftmax", x, axis=-1))
    case.show("layer norm", case.layer_norm(x, "norm", 33))
    case.show("mean", case.op("ReduceMean", x, axes=[1], keepdims=0))
    case.show("sum of all", case.op("ReduceSum", long, keepdims=1))
    case.show("max", case.op("ReduceMax", deep, axes=[1, 2], keepdims=0))
    case.show("min", case.op("ReduceMin", x, axes=[0], keepdims=1))
    case.show("product", case.op("ReduceProd", x, axes=[1], keepdims=0))
    case.show("norm", case.op("ReduceL2", deep, axes=[1], keepdims=0))
    _check(case, tmp_path, monkeypatch)


def test_pointwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    x = case.data("x", 2, 5, 9)
    positive = case.op("Add", case.op("Abs", x), case.constant(0.1))
    for kind in ("Relu", "Neg", "Exp", "Floor", "Ceil", "Erf", "Tanh", "Sigmoid", "HardSigmoid", "HardSwish"):
        case.show(kind, case.op(kind, x))
    for kind in ("Log", "Sqrt", "Reciprocal"):
        case.show(kind, case.op(kind, positive))
    case.show("Gelu", case.gelu(x))
    case.show("LeakyRelu", case.op("LeakyRelu", x, alpha=0.2))
    case.show("PRelu", case.op("PRelu", x, case.random("slope", (5, 1), 0.3)))
    case.show("Clip", case.op("Clip", x, case.constant(-0.5), case.constant(0.25)))
    for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        case.show(kind, case.op(kind, x, case.data(f"other{kind}", 5, 1)))
    case.show("Pow", case.op("Pow", positive, case.constant(1.3)))
    _check(case, tmp_path, monkeypatch)
