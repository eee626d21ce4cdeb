"""Which batch sizes an artifact gets."""

from __future__ import annotations

USUAL = 16


def batch_sizes_for(max_batch_size: int) -> tuple[int, ...]:
    """The powers of two up to `max_batch_size`, which is added where it is at most 16 and none.

    0 stands for a model that does not batch: one variant, of one request.
    """
    assert max_batch_size >= 0
    sizes = [1]
    while sizes[-1] * 2 <= max_batch_size:
        sizes.append(sizes[-1] * 2)
    if sizes[-1] < max_batch_size <= USUAL:
        sizes.append(max_batch_size)
    return tuple(sizes)
