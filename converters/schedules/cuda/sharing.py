"""How threads share the rows that reductions run over, and into how many parts blocks split rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from converters.schedules.cpu.elements import Loops
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.source import Dim3
from converters.schedules.cuda.tiles import CACHE_BYTES, ENDS, LAUNCH

# Rows of at most so many elements are a warp's, of which a block has WARPS; longer ones a block's.
SHORT = 512
WARPS = 4
LONG_WARPS = 8
# Rows across which neighbouring rows run: threads of a block for short ones; for long ones the threads of a
# block, so many neighbouring rows of them as fill the lanes so well.
ACROSS = 128
UNSHARED = 32
THREADS = 256
LANES = (32, 16, 8, 4)
FILLED = 0.9

# The model of time counts clocks: what a thread takes for an element when few others run beside it, nearly
# all of it waiting for memory.
ELEMENT = 100
MOST_SPLITS = 1024


@dataclass(frozen=True)
class Sharing:
    """`row`: a thread's row; `first` and `step`: which of its elements are the thread's; `combine`: what the
    threads of a row have together, from the operation and a value, in `scratch` floats of shared memory."""

    block: Dim3
    blocks: int
    row: str
    first: str
    step: int
    combine: str
    scratch: int
    leads: str
    """Whether a thread writes what there is one of in a row."""
    splits: int = 1
    """Blocks that divide a row: the y of the grid."""


def share_rows(loops: Loops) -> Sharing:
    """Where no row is split."""
    length = prod(n for n, reduced in zip(loops.extents, loops.reduced, strict=True) if reduced)
    rows = prod(loops.extents) // length
    if not loops.reduced[-1]:
        return _across(rows) if length <= UNSHARED else _shared_across(rows)
    if length <= SHORT:
        row = f"blockIdx.x * {WARPS} + threadIdx.x / 32"
        lane = "threadIdx.x % 32"
        block = (32 * WARPS, 1, 1)
        return Sharing(block, -(-rows // WARPS), row, lane, 32, "over_warp<{0}>({1})", 0, f"{lane} == 0")
    threads = 32 * LONG_WARPS
    combine = f"over_block<{{0}}, {LONG_WARPS}>({{1}}, scratch)"
    return Sharing(
        (threads, 1, 1), rows, "blockIdx.x", "threadIdx.x", threads, combine, LONG_WARPS, "threadIdx.x == 0"
    )


def _across(rows: int) -> Sharing:
    """A thread for each row."""
    row = f"blockIdx.x * {ACROSS} + threadIdx.x"
    return Sharing((ACROSS, 1, 1), -(-rows // ACROSS), row, "0", 1, "{1}", 0, "true")


def _shared_across(rows: int) -> Sharing:
    """Neighbouring threads have neighbouring rows; those that have the same share it."""
    lanes = _lanes(rows)
    shares = THREADS // lanes
    row = f"blockIdx.x * {lanes} + threadIdx.x"
    combine = "over_columns<{0}>({1}, scratch)"
    return Sharing(
        (lanes, shares, 1),
        -(-rows // lanes),
        row,
        "threadIdx.y",
        shares,
        combine,
        THREADS,
        "threadIdx.y == 0",
    )


def _lanes(rows: int) -> int:
    """The most neighbours of which few idle; failing that, those of which fewest do."""
    filled = {lanes: rows / (-(-rows // lanes) * lanes) for lanes in LANES}
    return next((lanes for lanes in LANES if filled[lanes] >= FILLED), max(LANES, key=lambda n: filled[n]))


def choose_splits(gpu: Gpu, sharing: Sharing, length: int, levels: int, *, whole: bool) -> int:
    """Into how many parts a simple model of the GPU takes rows of `length` elements to be split best.

    Each of `levels` reductions that wait for another is a pass over the row, and so is what is written of
    `whole` rows. A split row takes a launch for each pass, which first joins what the parts have found.
    Deterministic: an artifact depends on the target alone.
    """
    if sharing.step == 1 or not sharing.scratch:
        return 1
    steps = -(-length // sharing.step)
    threads = prod(sharing.block)
    multiprocessors = gpu.part.multiprocessors
    best = 1, 0.0
    for splits in range(1, min(MOST_SPLITS, steps) + 1):
        share = -(-steps // splits)
        if (splits - 1) * share >= steps:
            continue
        blocks = sharing.blocks * splits
        together = min(gpu.part.threads // threads, -(-blocks // multiprocessors))
        waves = -(-blocks // (multiprocessors * together))
        pace = max(ELEMENT, together * threads * 4 / CACHE_BYTES)
        time = (levels + whole) * waves * share * pace
        if splits > 1:
            time += levels * (LAUNCH + ENDS + -(-splits // sharing.step) * pace)
        if splits == 1 or time < best[1]:
            best = splits, time
    return best[0]
