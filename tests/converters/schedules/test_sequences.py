"""Products, normalisations and what else transformers are made of, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tvm import relax

from tests.converters.schedules.harness import Compiled, check, node, random


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, 40), (40, 50)),
        ((3, 17), (17, 5)),
        ((21, 40), (40, 160)),
        ((2, 3, 5, 20), (2, 3, 20, 18)),
        ((2, 1, 5, 20), (3, 20, 130)),
        ((20,), (20, 18)),
        ((4, 7, 20), (20,)),
        ((64, 1, 30), (30, 33)),
        ((2, 4, 1, 20), (2, 4, 20, 18)),
        ((8, 1, 20), (8, 20, 37)),
        ((2, 4, 1, 20), (2, 1, 20, 18)),
    ],
)
@pytest.mark.parametrize("constant", [True, False], ids=["constant", "computed"])
def test_product(left: tuple[int, ...], right: tuple[int, ...], constant: bool) -> None:
    b = random(*right, seed=1)
    inputs = {"x": random(*left)} if constant else {"x": random(*left), "w": b}
    check([node("MatMul", ["x", "w"], ["y"])], inputs, {"w": b} if constant else None)


def test_product_with_its_epilogue() -> None:
    weights = {"w": random(35, 20, seed=1), "b": random(35, seed=2)}
    nodes = [
        node("Gemm", ["x", "w", "b"], ["a"], transB=1),
        node("Gelu", ["a"], ["c"]),
        node("Add", ["c", "z"], ["y"]),
    ]
    compiled = check(nodes, {"x": random(9, 20), "z": random(9, 35)}, weights)
    assert len(compiled.kernels) == 1


def attention(
    batch: int, length: int, heads: int, size: int
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    width = heads * size
    weights = {name: random(width, width, seed=i) for i, name in enumerate("qkvo")}
    weights |= {
        "split": np.array([batch, length, heads, size]),
        "joined": np.array([batch, length, width]),
        "root": np.array(size**0.5, np.float32),
    }
    nodes = []
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            node("MatMul", ["x", name], [f"{name}1"]),
            node("Reshape", [f"{name}1", "split"], [f"{name}2"]),
            node("Transpose", [f"{name}2"], [f"{name}3"], perm=perm),
        ]
    nodes += [
        node("MatMul", ["q3", "k3"], ["s"]),
        node("Div", ["s", "root"], ["t"]),
        node("Add", ["t", "mask"], ["u"]),
        node("Softmax", ["u"], ["p"]),
        node("MatMul", ["p", "v3"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3]),
        node("Reshape", ["b", "joined"], ["c"]),
        node("MatMul", ["c", "o"], ["d"]),
        node("Add", ["d", "x"], ["y"]),
    ]
    return nodes, weights


def test_attention_moves_nothing() -> None:
    """Heads are read and written where they lie: no transposition has a kernel."""
    nodes, weights = attention(batch=2, length=19, heads=3, size=8)
    mask = np.where(np.arange(19) < 15, 0, -10000).astype(np.float32).reshape(1, 1, 1, 19)
    compiled = check(nodes, {"x": random(2, 19, 24), "mask": mask}, weights)
    assert len(compiled.kernels) == 7
    assert not any("transpose" in name for name in compiled.kernels)


@pytest.mark.parametrize("shape", [(2, 3, 40), (5, 7), (1, 300), (70, 1)])
def test_layer_normalization(shape: tuple[int, ...]) -> None:
    weights = {"scale": random(shape[-1], seed=1), "shift": random(shape[-1], seed=2)}
    compiled = check(
        [node("LayerNormalization", ["x", "scale", "shift"], ["y"])], {"x": random(*shape)}, weights
    )
    assert len(compiled.kernels) == 1


def test_layer_normalization_in_pieces() -> None:
    weights = {
        "scale": random(21, seed=1),
        "shift": random(21, seed=2),
        "two": np.array(2, np.float32),
        "tiny": np.array(1e-5, np.float32),
        "axis": np.array([-1]),
    }
    nodes = [
        node("ReduceMean", ["x", "axis"], ["m"]),
        node("Sub", ["x", "m"], ["c"]),
        node("Pow", ["c", "two"], ["q"]),
        node("ReduceMean", ["q", "axis"], ["v"]),
        node("Add", ["v", "tiny"], ["v1"]),
        node("Sqrt", ["v1"], ["s"]),
        node("Div", ["c", "s"], ["n"]),
        node("Mul", ["n", "scale"], ["n1"]),
        node("Add", ["n1", "shift"], ["y"]),
    ]
    assert len(check(nodes, {"x": random(3, 5, 21)}, weights).kernels) == 1


@pytest.mark.parametrize(("shape", "axis"), [((3, 40), -1), ((2, 9, 5), 1), ((4, 20, 33), 0), ((6, 1), 1)])
def test_softmax(shape: tuple[int, ...], axis: int) -> None:
    assert len(check([node("Softmax", ["x"], ["y"], axis=axis)], {"x": random(*shape)}).kernels) == 1


@pytest.mark.parametrize("axes", [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]])
def test_reductions(axes: list[int]) -> None:
    nodes = [
        node("ReduceMax", ["x", "axes"], ["y"], keepdims=0),
        node("ReduceSum", ["x", "axes"], ["z"], keepdims=1),
        node("ReduceMin", ["x", "axes"], ["u"], keepdims=1),
    ]
    check(nodes, {"x": random(3, 18, 21)}, {"axes": np.array(axes)}, outputs=("y", "z", "u"))


@pytest.mark.parametrize("perm", [[1, 0, 2], [0, 2, 1], [2, 1, 0], [2, 0, 1]])
def test_transpose(perm: list[int]) -> None:
    nodes = [node("Transpose", ["x"], ["a"], perm=perm), node("Relu", ["a"], ["y"])]
    assert len(check(nodes, {"x": random(5, 18, 35)}).kernels) == 1


def test_pointwise_functions() -> None:
    """Each in one kernel with all others, over values on both sides of every limit."""
    names = ["Exp", "Tanh", "Erf", "Sigmoid", "Gelu", "Softplus", "HardSwish", "Elu", "Abs", "Floor", "Mish"]
    x = np.concatenate([np.linspace(-12, 12, 203), np.linspace(-1e-3, 1e-3, 11)]).astype(np.float32)
    for name in names:
        check([node(name, ["x"], ["y"])], {"x": x}, tolerance=2e-6)


def test_logarithms_and_powers() -> None:
    x = np.exp(np.linspace(-20, 20, 77)).astype(np.float32)
    check([node("Log", ["x"], ["y"])], {"x": x}, tolerance=1e-6)
    for exponent in (2.0, 0.5, -0.5, 0.75, 1.3, 3.0):
        check(
            [node("Pow", ["x", "e"], ["y"])], {"x": x}, {"e": np.array(exponent, np.float32)}, tolerance=2e-6
        )


def test_broadcast_and_scalars() -> None:
    nodes = [
        node("Mul", ["x", "w"], ["a"]),
        node("Sub", ["a", "z"], ["b"]),
        node("Div", ["b", "s"], ["c"]),
        node("Expand", ["c", "shape"], ["d"]),
        node("Max", ["d", "x"], ["y"]),
    ]
    weights = {"w": random(5, 1, seed=1), "s": np.array(3, np.float32), "shape": np.array([2, 5, 7])}
    check(nodes, {"x": random(2, 5, 7), "z": random(7)}, weights)


def test_nothing_at_all() -> None:
    """Tensors without elements, which ONNX takes for unknown shapes on the way in."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([2, 0, 3], "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            joined = builder.emit(relax.op.concat([relax.op.nn.relu(x), x], axis=1))
            result = builder.emit_output(joined)
        builder.emit_func_output(result)
    (y,) = Compiled.of(builder.get())(np.zeros((2, 0, 3), np.float32))
    assert y.shape == (2, 0, 3)
