"""Elementary functions of float32 vectors in plain arithmetic, to a few units in the last place.

The C library computes one element a call, which would take most of a softmax's or a GELU's time. The
argument comes last in every `min` and `max`, so that NaN passes through. Coefficients: Cephes (exp, log),
and the rational approximations of tanh and erf in wide use (Eigen, XNNPACK).
"""

from __future__ import annotations

from tvm import tirx
from tvm.tirx import op

from converters.schedules.cpu.kernel import Expr, Kernel, lanes_of, splat

EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
TANH = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
TANH_BELOW = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
TANH_LIMIT = 7.90531110763549805
ERF = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
ERF_BELOW = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
ERF_LIMIT = 4.0


def polynomial(kernel: Kernel, x: Expr, coefficients: tuple[float, ...]) -> Expr:
    """The highest power's coefficient first (Horner)."""
    lanes = lanes_of(x)
    value = splat(coefficients[0], lanes)
    for coefficient in coefficients[1:]:
        value = kernel.fma(value, x, splat(coefficient, lanes))
    return kernel.bind(value)


def _clamped(kernel: Kernel, x: Expr, low: float, high: float) -> Expr:
    lanes = lanes_of(x)
    return kernel.bind(tirx.min(splat(high, lanes), tirx.max(splat(low, lanes), x)))


def _power_of_two(n: Expr) -> Expr:
    """2**n for int32 in [-126, 127]."""
    lanes = lanes_of(n)
    bits = op.shift_left(n + splat(127, lanes, "int32"), splat(23, lanes, "int32"))
    return op.reinterpret(_vector("float32", lanes), bits)


def _vector(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def exp(kernel: Kernel, x: Expr) -> Expr:
    lanes = lanes_of(x)
    x = _clamped(kernel, x, -104.0, 89.0)
    n = kernel.bind(op.nearbyint(x * splat(1.44269504088896341, lanes)))
    r = kernel.fma(n, splat(-0.693359375, lanes), x)
    r = kernel.bind(kernel.fma(n, splat(2.12194440e-4, lanes), r))
    y = kernel.fma(polynomial(kernel, r, EXP), r * r, r) + splat(1.0, lanes)
    whole = kernel.bind(tirx.Cast(_vector("int32", lanes), n))
    # Two factors, for 2**n itself can be too large or too small for a float.
    half = kernel.bind(op.shift_right(whole, splat(1, lanes, "int32")))
    return kernel.bind(y * _power_of_two(half) * _power_of_two(whole - half))


def log(kernel: Kernel, x: Expr) -> Expr:
    """NaN below zero, minus infinity at zero."""
    lanes = lanes_of(x)
    tiny = splat(1.17549435e-38, lanes)
    bits = kernel.bind(op.reinterpret(_vector("int32", lanes), tirx.max(tiny, x)))
    exponent = op.shift_right(bits, splat(23, lanes, "int32")) - splat(126, lanes, "int32")
    mantissa = op.bitwise_or(
        op.bitwise_and(bits, splat(0x007FFFFF, lanes, "int32")), splat(0x3F000000, lanes, "int32")
    )
    m = kernel.bind(op.reinterpret(_vector("float32", lanes), mantissa))
    small = m < splat(0.707106781186547524, lanes)
    e = kernel.bind(
        tirx.Cast(_vector("float32", lanes), exponent)
        - tirx.Select(small, splat(1.0, lanes), splat(0.0, lanes))
    )
    f = kernel.bind(tirx.Select(small, m + m, m) - splat(1.0, lanes))
    square = kernel.bind(f * f)
    y = polynomial(kernel, f, LOG) * square * f
    y = kernel.fma(e, splat(-2.12194440e-4, lanes), y)
    y = kernel.fma(square, splat(-0.5, lanes), y)
    result = kernel.bind(kernel.fma(e, splat(0.693359375, lanes), f + y))
    zero, infinity = splat(0.0, lanes), splat(float("inf"), lanes)
    result = tirx.Select(x < infinity, result, x)
    below = tirx.Select(x < zero, splat(float("nan"), lanes), result)
    return kernel.bind(tirx.Select(tirx.EQ(x, zero), splat(float("-inf"), lanes), below))


def tanh(kernel: Kernel, x: Expr) -> Expr:
    return _odd_rational(kernel, x, TANH, TANH_BELOW, TANH_LIMIT)


def erf(kernel: Kernel, x: Expr) -> Expr:
    return _odd_rational(kernel, x, ERF, ERF_BELOW, ERF_LIMIT)


def _odd_rational(
    kernel: Kernel, x: Expr, above: tuple[float, ...], below: tuple[float, ...], limit: float
) -> Expr:
    """x P(x^2) / Q(x^2), which is 1 from `limit` on."""
    x = _clamped(kernel, x, -limit, limit)
    square = kernel.bind(x * x)
    return kernel.bind(x * polynomial(kernel, square, above) / polynomial(kernel, square, below))


def sigmoid(kernel: Kernel, x: Expr) -> Expr:
    one = splat(1.0, lanes_of(x))
    return kernel.bind(one / (one + exp(kernel, splat(0.0, lanes_of(x)) - x)))
