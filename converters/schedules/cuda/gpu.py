"""What a schedule needs to know of the GPU it is made for, and which tile suits a product on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from converters.request import PRECISIONS

ARITHMETIC = {"fp32": "FP32", "tf32": "TF32", "fp16": "FP16"}
KIB = 1024

STAGES = 4
DEPTH = 32
MOST_SPLITS = 16

# The model of time counts clocks: what a multiprocessor gets in one from the second-level cache and from
# shared memory, in bytes; what a step over DEPTH depths takes at least, for its waits; what a block takes
# before its first product and after its last; and what another launch takes, for adding up splits.
CACHE_BYTES = 40
SHARED_BYTES = 128
STEP = 200
ENDS = 1500
LAUNCH = 3000


@dataclass(frozen=True)
class Part:
    """One multiprocessor's shared memory for blocks, and its products in a clock by precision."""

    multiprocessors: int
    shared_bytes: int
    tf32: int
    fp32: int


PARTS = {
    80: Part(108, 164 * KIB, 512, 64),
    86: Part(84, 100 * KIB, 128, 128),
    89: Part(128, 100 * KIB, 128, 128),
    # What mma.sync reaches, of the twice as much that warp-group instructions would.
    90: Part(132, 228 * KIB, 640, 128),
}
"""By compute capability: the usual part of each, of which an artifact's tiles are right for others too."""


@dataclass(frozen=True)
class Gpu:
    """`capability`: 80 for sm_80. `precision`: of products, one of PRECISIONS."""

    capability: int
    precision: str

    @classmethod
    def of(cls, target: Any, precision: str) -> Gpu:
        """The GPU that a CUDA target describes."""
        assert precision in PRECISIONS
        return cls(int(str(target.attrs["arch"]).removeprefix("sm_").rstrip("af")), precision)

    @property
    def part(self) -> Part:
        """The newest known one that is not newer."""
        known = [capability for capability in PARTS if capability <= self.capability]
        return PARTS[max(known, default=min(PARTS))]

    @property
    def products(self) -> int:
        """In a clock, of one multiprocessor."""
        return {"fp32": self.part.fp32, "tf32": self.part.tf32, "fp16": 2 * self.part.tf32}[self.precision]


@dataclass(frozen=True)
class Tile:
    """A block's share of a product: rows x columns of results, divided among warps."""

    rows: int
    columns: int
    warps_m: int
    warps_n: int
    splits: int = 1
    """Blocks that divide the depth of one tile."""

    @property
    def warps(self) -> int:
        return self.warps_m * self.warps_n


TILES = (
    Tile(128, 128, 2, 4),
    Tile(128, 64, 4, 2),
    Tile(64, 128, 2, 4),
    Tile(64, 64, 2, 2),
    Tile(64, 32, 2, 2),
    Tile(32, 64, 2, 2),
    Tile(32, 32, 2, 2),
    Tile(16, 64, 1, 4),
    Tile(16, 128, 1, 4),
)


def stage_words(tile: Tile) -> int:
    """An upper bound of the words of shared memory that one stage takes."""
    padded = DEPTH + 8
    return tile.rows * padded + max(DEPTH * (tile.columns + 8), tile.columns * padded)


def choose_tile(gpu: Gpu, rows: int, columns: int, depth: int, batches: int) -> Tile:
    """The tile, and the splits of the depth, that a simple model of the GPU takes to be the fastest.

    Blocks run in waves, as many at once as shared memory admits on every multiprocessor, which they share.
    A step of theirs takes as long as its products, its copies or its reads of shared memory, whichever is
    longest. Deterministic: an artifact depends on the target alone.
    """
    best: tuple[float, Tile] | None = None
    part = gpu.part
    steps = -(-depth // DEPTH)
    for tile in TILES:
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * batches
        admitted = min(part.shared_bytes // (STAGES * stage_words(tile) * 4), 2048 // (32 * tile.warps))
        busy = _busy(gpu, tile)
        for splits in range(1, min(MOST_SPLITS, steps) + 1):
            share = -(-steps // splits)
            if splits > 1 and (blocks * splits > 2 * part.multiprocessors or (splits - 1) * share >= steps):
                continue
            together = max(1, min(admitted, -(-blocks * splits // part.multiprocessors)))
            waves = -(-blocks * splits // (part.multiprocessors * together))
            time = waves * (ENDS + share * max(together * busy, STEP))
            if splits > 1:
                # Each split's sums are written and read again.
                moved = 2 * 4 * splits * rows * columns * batches
                time += LAUNCH + moved / (part.multiprocessors * CACHE_BYTES)
            if best is None or time < best[0]:
                best = time, replace(tile, splits=splits)
    assert best is not None
    return best[1]


def _busy(gpu: Gpu, tile: Tile) -> float:
    """Clocks for which a step keeps one multiprocessor busy."""
    products = tile.rows * tile.columns * DEPTH / gpu.products
    copies = (tile.rows + tile.columns) * DEPTH * 4 / CACHE_BYTES
    # For every 8 depths a warp reads a fragment's rows (4 words a thread for 16) and columns (2 for 8).
    words = tile.rows // tile.warps_m // 4 + tile.columns // tile.warps_n // 4
    reads = tile.warps * words * 128 * (DEPTH // 8) / SHARED_BYTES
    return max(products, copies, reads)
