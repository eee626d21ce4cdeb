"""What the driver accepts as a launch, held against what kernels ask for."""

from __future__ import annotations

from math import prod

from clockwork_triton.artifact.manifest import Launch
from converters.request import ConversionError
from converters.schedules.cuda.parts import part_of

MOST_BLOCKS = (2**31 - 1, 65535, 65535)
MOST_THREADS = (1024, 1024, 64)
"""On the axes x, y and z."""
MOST_TOGETHER = 1024


def check_launch(kernel: str, launch: Launch, capability: int) -> None:
    """ConversionError, naming the kernel, if no GPU of this compute capability launches that."""
    for axis, blocks, most in zip("xyz", launch.grid, MOST_BLOCKS, strict=True):
        if not 0 < blocks <= most:
            raise ConversionError(
                f"kernel {kernel} takes {blocks} blocks along {axis}, where a GPU launches 1 to {most}: use "
                "a smaller batch size"
            )
    fit = all(threads <= most for threads, most in zip(launch.block, MOST_THREADS, strict=True))
    if not fit or not 0 < prod(launch.block) <= MOST_TOGETHER:
        raise ConversionError(f"kernel {kernel} takes blocks of {launch.block} threads, which no GPU has")
    limit = part_of(capability).block_shared_bytes
    if launch.shared_bytes > limit:
        raise ConversionError(
            f"kernel {kernel} takes {launch.shared_bytes} bytes of shared memory a block, where a GPU of "
            f"this architecture has {limit}"
        )
