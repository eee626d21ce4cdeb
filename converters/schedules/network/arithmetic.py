"""What pointwise operations compute, as numpy functions: for constants, and as their definition."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np

from converters.schedules.network.graph import Array

Function = Callable[..., Any]


def _erf(x: Array) -> Array:
    from math import erf

    return np.asarray(np.vectorize(erf, otypes=[x.dtype])(x))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


FUNCTIONS: dict[str, Function] = {
    "identity": lambda x: x,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "relu": lambda x: np.maximum(x, 0),
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "leaky": lambda x, slope: np.where(x > 0, x, x * slope),
    "prelu": lambda x, slope: np.where(x > 0, x, x * slope),
    "negative": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "floor": np.floor,
    "ceil": np.ceil,
    "erf": _erf,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}

REDUCTIONS: dict[str, Function] = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod}


def evaluate(name: str, parameters: tuple[float, ...], inputs: list[Array]) -> Array:
    """The result in float32."""
    with np.errstate(all="ignore"):
        result = FUNCTIONS[name](*inputs, *(np.float32(value) for value in parameters))
    return np.ascontiguousarray(result, dtype=np.float32)
