"""Numbers as tensor cores take them."""

from __future__ import annotations

import numpy as np

from converters.source import Array


def round_tf32(values: Array) -> Array:
    """The nearest numbers with ten bits of fraction, ties away from zero, as cvt.rna.tf32 has them."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    finite = np.isfinite(values)
    return np.where(finite, rounded.view(np.float32), values).astype(np.float32)
