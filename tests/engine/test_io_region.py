from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clockwork_triton.artifact import Manifest
from clockwork_triton.engine.io_region import IoRegion
from clockwork_triton.inference import InferenceCall, InputData
from tests.engine.artifacts import write_artifact


@pytest.fixture
def region() -> Iterator[IoRegion]:
    region = IoRegion(2, 1 << 16)
    yield region
    region.close()


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest.read(write_artifact(tmp_path / "m"))


def test_slots_are_handed_out_once(region: IoRegion) -> None:
    first, second = region.take(), region.take()
    assert {first, second} == {0, 1}
    region.give_back(first)
    assert region.take() == first


class Counted:
    """A Source whose bytes count up from a first one."""

    def __init__(self, first: int, size: int) -> None:
        self._bytes = bytes(range(first, first + size))

    def __len__(self) -> int:
        return len(self._bytes)

    def read_into(self, target: memoryview) -> None:
        target[:] = self._bytes

    def part(self, start: int, length: int) -> Counted:
        return Counted(self._bytes[start], length)


def call(*inputs: InputData, rows: int = 1) -> InferenceCall:
    return InferenceCall(1, rows, inputs, 0, None)


def test_a_source_is_laid_into_the_slot_by_itself(region: IoRegion, manifest: Manifest) -> None:
    layout = manifest.slot(2)
    calls = [call(Counted(0, 16), b"b" * 16), call(Counted(50, 16), b"d" * 16)]
    region.write_inputs(0, manifest, 2, calls)
    written = bytes(region._view[layout.inputs[0] : layout.inputs[0] + 32])
    assert written == bytes(range(16)) + bytes(range(50, 66))


def test_rows_of_several_calls_lie_one_after_the_other(region: IoRegion, manifest: Manifest) -> None:
    layout = manifest.slot(2)
    calls = [call(b"a" * 16, b"b" * 16), call(b"c" * 16, memoryview(b"d" * 16))]
    region.write_inputs(1, manifest, 2, calls)
    written = bytes(region._view[1 << 16 : (1 << 16) + layout.bytes])
    assert written[layout.inputs[0] : layout.inputs[0] + 32] == b"a" * 16 + b"c" * 16
    assert written[layout.inputs[1] : layout.inputs[1] + 32] == b"b" * 16 + b"d" * 16


def test_padding_rows_are_zeroed(region: IoRegion, manifest: Manifest) -> None:
    region.write_inputs(0, manifest, 2, [call(b"x" * 32, b"x" * 32, rows=2)])
    region.write_inputs(0, manifest, 2, [call(b"y" * 16, b"y" * 16)])
    place = manifest.slot(2).inputs[0]
    assert bytes(region._view[place : place + 32]) == b"y" * 16 + bytes(16)


def test_outputs_are_read_by_row(region: IoRegion, manifest: Manifest) -> None:
    layout = manifest.slot(2)
    place = layout.outputs[0]
    region._view[place : place + 32] = b"p" * 16 + b"q" * 16
    assert region.read_outputs(0, manifest, layout, 1, 1) == (b"q" * 16,)
    assert region.read_outputs(0, manifest, layout, 0, 2) == (b"p" * 16 + b"q" * 16,)
