"""The pointwise operations of `network.arithmetic` as expressions on scalars or vectors."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

from tvm import tirx
from tvm.tirx import op

from converters.schedules.cpu import approximation
from converters.schedules.cpu.kernel import Expr, Kernel, lanes_of, splat

Emit = Callable[..., Expr]
"""From the kernel, the inputs and the parameters to the result."""


def _power(kernel: Kernel, x: Expr, y: Expr) -> Expr:
    return op.pow(x, y)


def _power_of(kernel: Kernel, x: Expr, exponent: float) -> Expr:
    """A power with a known exponent."""
    lanes = lanes_of(x)
    if exponent in (2.0, 3.0, 4.0):
        square = kernel.bind(x * x)
        return {2.0: square, 3.0: square * x, 4.0: square * square}[exponent]
    if exponent == 0.5:
        return op.sqrt(x)
    if exponent in (-1.0, -0.5):
        return splat(1.0, lanes) / (x if exponent == -1.0 else op.sqrt(x))
    if exponent == int(exponent):
        return op.pow(x, splat(exponent, lanes))
    if exponent == 0.75:
        root = kernel.bind(op.sqrt(x))
        return root * op.sqrt(root)
    return approximation.exp(kernel, approximation.log(kernel, x) * splat(exponent, lanes))


def _clip(kernel: Kernel, x: Expr, low: float, high: float) -> Expr:
    lanes = lanes_of(x)
    return tirx.min(splat(high, lanes), tirx.max(splat(low, lanes), x))


def _leaky(kernel: Kernel, x: Expr, slope: float) -> Expr:
    return _prelu(kernel, x, splat(slope, lanes_of(x)))


def _prelu(kernel: Kernel, x: Expr, slope: Expr) -> Expr:
    return tirx.Select(x > splat(0.0, lanes_of(x)), x, x * slope)


def _gelu(kernel: Kernel, x: Expr) -> Expr:
    lanes = lanes_of(x)
    e = approximation.erf(kernel, x * splat(1 / sqrt(2), lanes))
    half = kernel.bind(x * splat(0.5, lanes))
    return kernel.fma(half, e, half)


def _gelu_tanh(kernel: Kernel, x: Expr) -> Expr:
    lanes = lanes_of(x)
    cubic = kernel.fma(x * x * x, splat(0.044715, lanes), x)
    half = kernel.bind(x * splat(0.5, lanes))
    return kernel.fma(half, approximation.tanh(kernel, cubic * splat(sqrt(2 / pi), lanes)), half)


def _hardsigmoid(kernel: Kernel, x: Expr) -> Expr:
    lanes = lanes_of(x)
    return _clip(kernel, x + splat(3.0, lanes), 0.0, 6.0) * splat(1 / 6, lanes)


FUNCTIONS: dict[str, Emit] = {
    "identity": lambda kernel, x: x,
    "add": lambda kernel, x, y: x + y,
    "subtract": lambda kernel, x, y: x - y,
    "multiply": lambda kernel, x, y: x * y,
    "divide": lambda kernel, x, y: x / y,
    "power": _power,
    "power_of": _power_of,
    "maximum": lambda kernel, x, y: tirx.max(x, y),
    "minimum": lambda kernel, x, y: tirx.min(x, y),
    "relu": lambda kernel, x: tirx.max(splat(0.0, lanes_of(x)), x),
    "clip": _clip,
    "leaky": _leaky,
    "prelu": _prelu,
    "negative": lambda kernel, x: splat(-1.0, lanes_of(x)) * x,
    "abs": lambda kernel, x: op.abs(x),
    "exp": approximation.exp,
    "log": approximation.log,
    "sqrt": lambda kernel, x: op.sqrt(x),
    "rsqrt": lambda kernel, x: splat(1.0, lanes_of(x)) / op.sqrt(x),
    "square": lambda kernel, x: x * x,
    "floor": lambda kernel, x: op.floor(x),
    "ceil": lambda kernel, x: op.ceil(x),
    "erf": approximation.erf,
    "tanh": approximation.tanh,
    "sigmoid": approximation.sigmoid,
    "silu": lambda kernel, x: x * approximation.sigmoid(kernel, x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda kernel, x: x * _hardsigmoid(kernel, x),
}
