"""Which tile is chosen for a product, on which part."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.request import PRECISIONS
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.parts import KIB, PARTS, REGISTERS, RESERVED_BYTES, part_of
from converters.schedules.cuda.staging import Staging
from converters.schedules.cuda.tiles import TILES, Tile, choose_tile

STAGINGS = [
    Staging(),
    Staging(by_column=True),
    Staging(halves=True),
    Staging(halves=True, by_column=True),
    Staging(halves=True, half_weights=True),
]
SIZES = st.one_of(st.integers(1, 200), st.integers(1, 100_000))


@settings(deadline=None, derandomize=True)
@given(
    capability=st.sampled_from([80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121]),
    precision=st.sampled_from(PRECISIONS),
    staging=st.sampled_from(STAGINGS),
    shape=st.tuples(SIZES, SIZES, SIZES, SIZES),
)
def test_a_tile_fits_a_block_of_its_part(
    capability: int, precision: str, staging: Staging, shape: tuple[int, int, int, int]
) -> None:
    gpu = Gpu(capability, precision)
    tile = choose_tile(gpu, staging, *shape)
    assert tile.shared_bytes(staging) <= gpu.part.block_shared_bytes
    assert tile.resident * tile.threads * tile.registers <= REGISTERS
    assert tile.resident * (tile.shared_bytes(staging) + RESERVED_BYTES) <= gpu.part.shared_bytes
    steps = -(-shape[2] // 32)
    assert 1 <= tile.splits <= steps
    assert 1 <= tile.stages <= -(-steps // tile.splits)


def test_a_tile_is_chosen_for_the_part() -> None:
    """Small products are split among many blocks, large ones take large tiles."""
    a100 = Gpu(80, "tf32")
    small = choose_tile(a100, Staging(), 49, 512, 4608, 1)
    assert small.splits > 1
    assert small.rows * small.columns <= 64 * 64
    large = choose_tile(a100, Staging(), 50_000, 256, 2304, 1)
    assert (large.splits, large.rows) == (1, 128)


@pytest.mark.parametrize("capability", [86, 89, 120])
def test_a_large_tile_has_fewer_stages_where_shared_memory_is_small(capability: int) -> None:
    tile = choose_tile(Gpu(capability, "tf32"), Staging(), 50_000, 256, 2304, 1)
    assert tile.shared_bytes(Staging()) <= 99 * KIB
    assert choose_tile(Gpu(90, "tf32"), Staging(), 50_000, 256, 2304, 1).stages == 4


def test_a_product_of_few_steps_leaves_memory_to_other_blocks() -> None:
    gpu = Gpu(90, "tf32")
    tile = choose_tile(gpu, Staging(), 784, 512, 64, 1)
    assert tile.stages == 2
    staged = replace(tile, stages=4).shared_bytes(Staging()) + RESERVED_BYTES
    assert tile.resident * staged > gpu.part.shared_bytes


def test_the_bytes_of_a_tile_are_those_that_its_kernel_takes() -> None:
    plain, halves = Staging(), Staging(halves=True, half_weights=True)
    large = Tile(128, 128, 2, 4)
    assert large.shared_bytes(plain) == 143_360
    assert Tile(128, 64, 4, 2).shared_bytes(plain) == 110_592
    assert Tile(128, 64, 4, 2, stages=3).shared_bytes(plain) == 82_944
    assert Tile(64, 128, 2, 4).shared_bytes(halves) == 75_776
    assert Tile(128, 64, 4, 2).shared_bytes(halves) == 100_352


@pytest.mark.parametrize(
    ("capability", "known"), [(80, 80), (87, 86), (88, 86), (103, 100), (110, 100), (121, 120), (130, 120)]
)
def test_a_part_is_that_of_its_generation(capability: int, known: int) -> None:
    assert part_of(capability) == PARTS[known]


def test_every_tile_divides_into_whole_fragments() -> None:
    for tile in TILES:
        assert tile.rows % (16 * tile.warps_m) == 0
        assert tile.columns % (8 * tile.warps_n) == 0
