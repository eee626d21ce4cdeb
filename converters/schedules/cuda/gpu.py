"""What a schedule needs to know of the GPU it is made for, and which tile suits a product on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PRECISIONS = ("tf32", "fp32", "fp16")
ARITHMETIC = {"fp32": "FP32", "tf32": "TF32", "fp16": "FP16"}
KIB = 1024

# A part's multiprocessors by compute capability, and the shared memory that one of them has for blocks.
PARTS = {80: (108, 164 * KIB), 86: (84, 100 * KIB), 89: (128, 100 * KIB), 90: (132, 228 * KIB)}
STAGES = 4
DEPTH = 32
MOST_SPLITS = 16
# A step over DEPTH depths takes as long as copying does where a tile has too few results to hide it: in units
# of one fragment (16 x 8 results) a warp.
STEP = 3.0
# What a block costs before its first product and after its last: in steps.
ENDS = 6.0
# What another launch costs for adding up: in steps.
REDUCTION = 12.0


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
    def multiprocessors(self) -> int:
        return self._part[0]

    @property
    def shared_bytes(self) -> int:
        return self._part[1]

    @property
    def _part(self) -> tuple[int, int]:
        known = [capability for capability in PARTS if capability <= self.capability]
        return PARTS[max(known, default=min(PARTS))]


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

    @property
    def fragments(self) -> int:
        """Of 16 x 8 results, a warp."""
        return self.rows * self.columns // (128 * self.warps)


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

    Blocks run in waves, as many at once as shared memory admits on every multiprocessor. A step of a block
    takes as long as its products or as its copies, whichever is longer, and blocks on one multiprocessor
    share it. Deterministic: an artifact depends on the target alone.
    """
    best: tuple[float, Tile] | None = None
    steps = -(-depth // DEPTH)
    for tile in TILES:
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * batches
        resident = max(
            1, min(gpu.shared_bytes // (STAGES * stage_words(tile) * 4), 2048 // (32 * tile.warps))
        )
        for splits in range(1, min(MOST_SPLITS, steps) + 1):
            if splits > 1 and blocks * splits > 2 * gpu.multiprocessors:
                break
            share = -(-steps // splits)
            if splits > 1 and (splits - 1) * share >= steps:
                continue
            step = max(float(tile.fragments), STEP) * tile.warps / 4
            together = min(resident, -(-blocks * splits // gpu.multiprocessors))
            waves = -(-blocks * splits // (gpu.multiprocessors * together))
            time = waves * together * (share * step) + waves * ENDS * STEP
            time += REDUCTION * STEP if splits > 1 else 0.0
            if best is None or time < best[0]:
                best = time, Tile(tile.rows, tile.columns, tile.warps_m, tile.warps_n, splits)
    assert best is not None
    return best[1]
