"""Which batch sizes an artifact gets."""

from __future__ import annotations

LARGEST = 16
"""Larger batches save little time a row and make conversions long; larger requests are run in parts."""


def batch_sizes_for(max_batch_size: int) -> tuple[int, ...]:
    """The powers of two up to `max_batch_size`, which is added where it is none; nothing above 16.

    0 stands for a model that does not batch: one variant, of one request.
    """
    assert max_batch_size >= 0
    largest = max(1, min(max_batch_size, LARGEST))
    powers = {1 << exponent for exponent in range(largest.bit_length())}
    return tuple(sorted(powers | {largest}))
