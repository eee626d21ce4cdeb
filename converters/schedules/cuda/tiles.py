"""Which tile suits a product on a GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.parts import REGISTERS, RESERVED_BYTES
from converters.schedules.cuda.staging import DEPTH, Staging

MOST_SPLITS = 16

FEWER_STAGES = 3
"""Of tiles that are too large for a block otherwise, on parts with little shared memory."""

# The model of time counts clocks: what a multiprocessor gets in one from the second-level cache and from
# shared memory, in bytes; what a step over DEPTH depths takes at least, for its waits; what a block takes
# before its first product and after its last; and what another launch takes, for adding up splits.
CACHE_BYTES = 40
SHARED_BYTES = 128
STEP = 200
ENDS = 1500
LAUNCH = 3000


@dataclass(frozen=True)
class Tile:
    """A block's share of a product: rows x columns of results, divided among warps."""

    rows: int
    columns: int
    warps_m: int
    warps_n: int
    splits: int = 1
    """Blocks that divide the depth of one tile."""
    stages: int = 4
    """Of the ring in shared memory that copies go to ahead of the products."""
    resident: int = 1
    """Blocks that a multiprocessor has room for at once."""

    @property
    def threads(self) -> int:
        return 32 * self.warps_m * self.warps_n

    @property
    def registers(self) -> int:
        """Of a thread, roughly: its sums, two sets of fragments, and what copies and indices take."""
        fragments_m, fragments_n = self.rows // self.warps_m // 16, self.columns // self.warps_n // 8
        return 4 * fragments_m * fragments_n + 2 * (4 * fragments_m + 2 * fragments_n) + 40

    def shared_bytes(self, staging: Staging) -> int:
        return 4 * self.stages * staging.words(self.rows, self.columns)


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


def choose_tile(gpu: Gpu, staging: Staging, rows: int, columns: int, depth: int, batches: int) -> Tile:
    """The tile, and the splits of the depth, that a simple model of the GPU takes to be the fastest.

    Blocks run in waves, as many at once as every multiprocessor admits, which they share. A step of theirs
    takes as long as its products, its copies or its reads of shared memory, whichever is longest.
    Deterministic: an artifact depends on the target alone.
    """
    best: tuple[float, Tile] | None = None
    part = gpu.part
    steps = -(-depth // DEPTH)
    for tile, splits in product(TILES, range(1, min(MOST_SPLITS, steps) + 1)):
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * batches * splits
        share = -(-steps // splits)
        if splits > 1 and (blocks > 2 * part.multiprocessors or (splits - 1) * share >= steps):
            continue
        staged = _staged(gpu, staging, tile, share)
        if staged is None:
            continue
        admitted = _admitted(gpu, staging, staged)
        together = max(1, min(admitted, -(-blocks // part.multiprocessors)))
        waves = -(-blocks // (part.multiprocessors * together))
        time = waves * (ENDS + share * max(together * _busy(gpu, tile), STEP))
        if splits > 1:
            # Each split's sums are written and read again.
            moved = 2 * 4 * splits * rows * columns * batches
            time += LAUNCH + moved / (part.multiprocessors * CACHE_BYTES)
        if best is None or time < best[0]:
            best = time, replace(staged, splits=splits, resident=admitted)
    assert best is not None
    return best[1]


def _staged(gpu: Gpu, staging: Staging, tile: Tile, steps: int) -> Tile | None:
    """The tile with the stages that it has steps for and a block has shared memory for, if it has."""
    for stages in (tile.stages, FEWER_STAGES):
        staged = replace(tile, stages=min(stages, steps))
        if staged.shared_bytes(staging) <= gpu.part.block_shared_bytes:
            return staged
    return None


def _admitted(gpu: Gpu, staging: Staging, tile: Tile) -> int:
    """The blocks that a multiprocessor has room for at once."""
    part = gpu.part
    return min(
        part.shared_bytes // (tile.shared_bytes(staging) + RESERVED_BYTES),
        part.threads // tile.threads,
        REGISTERS // (tile.threads * tile.registers),
    )


def _busy(gpu: Gpu, tile: Tile) -> float:
    """Clocks for which a step keeps one multiprocessor busy."""
    products = tile.rows * tile.columns * DEPTH / gpu.products
    copies = (tile.rows + tile.columns) * DEPTH * 4 / CACHE_BYTES
    # For every 8 depths a warp reads a fragment's rows (4 words a thread for 16) and columns (2 for 8).
    words = tile.rows // tile.warps_m // 4 + tile.columns // tile.warps_n // 4
    reads = tile.threads // 32 * words * 128 * (DEPTH // 8) / SHARED_BYTES
    return max(products, copies, reads)
