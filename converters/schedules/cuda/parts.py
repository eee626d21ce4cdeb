"""What GPUs of each compute capability have for the blocks of a kernel."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024

REGISTERS = 65536
"""Of one multiprocessor, on every part."""

RESERVED_BYTES = KIB
"""Of shared memory that the system takes for each block."""


@dataclass(frozen=True)
class Part:
    """How many multiprocessors, and of one of them: shared memory for blocks, threads, and products in a
    clock by precision."""

    multiprocessors: int
    shared_bytes: int
    threads: int
    tf32: int
    fp32: int

    @property
    def block_shared_bytes(self) -> int:
        """The most that one block may have."""
        return self.shared_bytes - RESERVED_BYTES


PARTS = {
    80: Part(108, 164 * KIB, 2048, 512, 64),
    86: Part(84, 100 * KIB, 1536, 128, 128),
    89: Part(128, 100 * KIB, 1536, 128, 128),
    # What mma.sync reaches, of the twice as much that warp-group instructions would; likewise for 100.
    90: Part(132, 228 * KIB, 2048, 640, 128),
    100: Part(148, 228 * KIB, 2048, 640, 128),
    120: Part(170, 100 * KIB, 1536, 128, 128),
}
"""By compute capability: the usual part of each, of which an artifact's tiles are right for others too."""


def part_of(capability: int) -> Part:
    """The newest known part that is not newer than the capability, such as 90.

    10.3 and 11.0 have what 10.0 has, 12.1 what 12.0 has. 8.7 has 163 KiB a block, but threads and products as
    8.6, and takes 8.6's: its tiles fit, and larger ones would keep its few multiprocessors no busier.
    """
    return PARTS[max(known for known in PARTS if known <= capability)]
