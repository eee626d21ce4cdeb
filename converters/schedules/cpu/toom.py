"""The matrices of fast convolution by Toom and Cook: m outputs of a kernel of r taps from m + r - 1 products.

    output = A^T [(G kernel) * (B^T input)]

An input polynomial and the kernel are evaluated at m + r - 2 points and at infinity, multiplied there, and
interpolated. (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.) The points 0, +-3/4
and +-3/2 lose little precision: at 512 channels the error is about twice that of the sum itself, a quarter of
what the usual points 0, +-1 and +-2 lose.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from converters.schedules.network.graph import Array

Matrix = tuple[tuple[float, ...], ...]

# By the number of outputs: the positive points; each stands for itself and its negative.
POINTS = {2: (Fraction(1),), 4: (Fraction(3, 4), Fraction(3, 2))}


@dataclass(frozen=True)
class Toom:
    """`outputs` are m above. Rows of `evaluate` (B^T) and columns of `interpolate` (A^T) are ordered: point
    0, then each point and its negative, then infinity. `kernel` is G."""

    outputs: int
    evaluate: Matrix
    kernel: Matrix
    interpolate: Matrix

    @property
    def products(self) -> int:
        return len(self.evaluate)


@cache
def toom(outputs: int, taps: int = 3) -> Toom:
    points = [Fraction(0)]
    for point in POINTS[outputs]:
        points += [point, -point]
    assert len(points) == outputs + taps - 2
    size = len(points) + 1
    evaluate = [_with_roots([p for p in points if p != point], size) for point in points]
    evaluate.append(_with_roots(points, size))
    kernel = [[point**power / _distance(point, points) for power in range(taps)] for point in points]
    kernel.append([Fraction(int(power == taps - 1)) for power in range(taps)])
    interpolate = [
        [point**row for point in points] + [Fraction(int(row == outputs - 1))] for row in range(outputs)
    ]
    return Toom(outputs, *map(_floats, (evaluate, kernel, interpolate)))


def _with_roots(roots: list[Fraction], size: int) -> list[Fraction]:
    """The coefficients, constant first, of the monic polynomial with these roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [s - root * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients + [Fraction(0)] * (size - len(coefficients))


def _distance(point: Fraction, points: list[Fraction]) -> Fraction:
    product = Fraction(1)
    for other in points:
        if other != point:
            product *= point - other
    return product


def _floats(matrix: list[list[Fraction]]) -> Matrix:
    return tuple(tuple(float(value) for value in row) for row in matrix)


def kernel_transformed(weight: Array, outputs: int) -> Array:
    """[K, C, 3, 3] as [products, products, K, C]: the kernel at every pair of points."""
    matrix = np.array(toom(outputs).kernel)
    return np.asarray(np.einsum("ar,kcrs,bs->abkc", matrix, weight, matrix, optimize=True))
