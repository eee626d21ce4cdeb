"""Which words of its operands a product copies: at the borders of images, of blocks and of the depth."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clockwork_triton.artifact.manifest import Launch
from converters import device_code
from converters.schedules.cuda import problem
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.staging import Staging
from converters.schedules.cuda.tiles import TILES, Tile
from converters.schedules.cuda.window import Window
from tests.cuda.checks import Case
from tests.cuda.emulator import Emulator, needs_emulation

EXACT = 2e-6
WINDOWS: dict[str, dict[str, Any]] = {
    "same": {"pads": [1, 1, 1, 1]},
    "before": {"pads": [2, 1, 0, 0]},
    "behind": {"pads": [0, 0, 1, 2]},
    "strided": {"pads": [1, 0, 0, 1], "strides": [2, 2]},
    "dilated": {"pads": [2, 1, 2, 3], "dilations": [2, 2]},
    "both": {"pads": [0, 2, 1, 0], "strides": [2, 1], "dilations": [1, 2]},
    "inside": {},
}


def _check(case: Case, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = case.differences(directory, monkeypatch, "fp32")
    assert {name: value for name, value in found.items() if value > EXACT} == {}


@needs_emulation
@pytest.mark.parametrize("channels", [5, 20, 32, 64, 96])
def test_every_tap_of_every_border(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    """Blocks span three images of 7 x 6 pixels, and end within a block."""
    case = Case()
    x = case.data("x", 3, channels, 7, 6)
    for name, window in WINDOWS.items():
        case.show(name, case.conv(x, name, (channels, 18), 3, **window))
    case.show("point", case.conv(x, "point", (channels, 18), 1, strides=[2, 3]))
    case.show("around", case.conv(x, "around", (channels, 18), 1, pads=[1, 0, 0, 1]))
    case.show("groups", case.conv(x, "groups", (channels, 10), 3, groups=5 if channels < 32 else 2))
    _check(case, tmp_path, monkeypatch)


@needs_emulation
@pytest.mark.parametrize("splits", [1, 4])
@pytest.mark.parametrize("tile", [TILES[0], TILES[5]], ids=lambda tile: f"{tile.rows}x{tile.columns}")
def test_splits_begin_within_taps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: Tile, splits: int
) -> None:
    def choose(gpu: Gpu, staging: Staging, rows: int, columns: int, depth: int, batches: int) -> Tile:
        return replace(tile, splits=splits)

    monkeypatch.setattr(problem, "choose_tile", choose)
    case = Case()
    x, few = case.data("x", 2, 64, 5, 6), case.data("few", 1, 12, 5, 6)
    case.show("channels of two steps", case.conv(x, "two", (64, 12), 3, pads=[1, 1, 1, 1]))
    case.show("steps of several taps", case.conv(few, "several", (12, 12), 5, pads=[2, 1, 2, 3]))
    _check(case, tmp_path, monkeypatch)


@needs_emulation
def test_windows_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More taps than a word has bits for, many on each of several axes, and transposed ones."""
    case = Case()
    line, image, cube = (
        case.data("line", 2, 8, 50),
        case.data("image", 2, 3, 12, 9),
        case.data("cube", 1, 4, 5, 4, 6),
    )
    one, broad = case.random("one", (6, 8, 40), 0.1), case.random("broad", (6, 3, 20, 11), 0.1)
    three = case.random("three", (6, 4, 3, 2, 5), 0.2)
    case.show("long", case.op("Conv", line, one, pads=[19, 7], strides=[2]))
    case.show("wide", case.op("Conv", image, broad, pads=[9, 5, 10, 4]))
    case.show("seven", case.conv(image, "seven", (3, 6), 7, strides=[2, 2], pads=[3, 3, 3, 3]))
    case.show("three axes", case.op("Conv", cube, three, pads=[1, 1, 2, 0, 1, 3], strides=[1, 2, 1]))
    turned = case.random("turned", (3, 6, 5, 4), 0.2)
    case.show("back", case.op("ConvTranspose", image, turned, strides=[3, 2], pads=[1, 2, 2, 0]))
    case.show("back apart", case.op("ConvTranspose", image, turned, dilations=[2, 3], strides=[1, 2]))
    _check(case, tmp_path, monkeypatch)


@needs_emulation
def test_the_taps_outside_of_an_axis(tmp_path: Path) -> None:
    """Every one of them, for windows that begin anywhere."""
    cases = list(product((1, 2, 3, 7, 31), (1, 2, 3), (1, 2, 5, 40)))
    first, count = -70, 130
    calls = "\n".join(f"  *to++ = taps_outside<{k}, {apart}, {size}>(origin);" for k, apart, size in cases)
    text = f"""
KERNEL({count}) find(unsigned* to) {{
  to += threadIdx.x * {len(cases)};
  const int origin = static_cast<int>(threadIdx.x) + {first};
{calls}
}}
"""
    found = np.zeros((count, len(cases)), np.uint32)
    emulator = Emulator(device_code.headers() + text, tmp_path)
    emulator.launch(Launch("find", (1, 1, 1), (count, 1, 1), 0, (0,)), [found.ctypes.data])
    for at, (number, (kernel, apart, size)) in product(range(count), enumerate(cases)):
        places = [first + at + tap * apart for tap in range(kernel)]
        expected = sum(1 << tap for tap, place in enumerate(places) if not 0 <= place < size)
        assert found[at, number] == expected, (first + at, kernel, apart, size)


@pytest.mark.parametrize("size", range(1, 12))
def test_a_window_overhangs_where_a_tap_is_outside(size: int) -> None:
    for kernel, stride, dilation, before, behind in product((1, 2, 3), (1, 2, 3), (1, 2), (0, 1), (0, 1, 2)):
        last = size + before + behind - (kernel - 1) * dilation - 1
        if last < 0:
            continue
        output = last // stride + 1
        window = Window((size,), (output,), (kernel,), (stride,), (dilation,), (before,))
        places = [at * stride + tap * dilation - before for at, tap in product(range(output), range(kernel))]
        assert window.overhangs(0) == any(not 0 <= place < size for place in places)
