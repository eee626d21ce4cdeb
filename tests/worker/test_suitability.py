from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from clockwork_triton.artifact import Manifest, TensorRef
from clockwork_triton.worker.device import UnsuitableModel
from clockwork_triton.worker.suitability import check_cpu, check_fit
from tests.worker import tiny

ROOM = {"page_bytes": tiny.PAGE, "pages": 3, "workspace_bytes": 128, "slot_bytes": 128}


def test_what_just_fits_fits() -> None:
    check_fit(tiny.manifest(), **ROOM)


@pytest.mark.parametrize(
    ("room", "reason"),
    [
        ({"page_bytes": 8192}, "pages of 4096 bytes, not 8192"),
        ({"pages": 2}, "3 pages of 4096 bytes and the device memory has 2"),
        ({"workspace_bytes": 127}, "workspace of 128 bytes and the device has 127"),
        ({"slot_bytes": 127}, "batch size 1 take 128 bytes and an I/O slot has 127"),
    ],
)
def test_every_memory_is_checked(room: dict[str, int], reason: str) -> None:
    with pytest.raises(UnsuitableModel, match=reason):
        check_fit(tiny.manifest(), **{**ROOM, **room})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensor: replace(tensor, offset=tensor.offset + 1),
        lambda tensor: replace(tensor, offset=-1),
        lambda tensor: replace(tensor, index=2),
        lambda tensor: replace(tensor, index=-1),
        lambda tensor: replace(tensor, shape=(*tensor.shape, 2)),
        lambda tensor: replace(tensor, dtype="float64"),
    ],
)
@pytest.mark.parametrize("position", [0, 2, 3, 4])
def test_a_tensor_that_leaves_its_memory_is_found(
    position: int, spoil: Callable[[TensorRef], TensorRef]
) -> None:
    manifest = tiny.manifest()
    assert manifest.variants[2].tensors[2].offset == tiny.PAGE
    with pytest.raises(UnsuitableModel, match="lies outside its"):
        check_fit(_spoilt(manifest, position, spoil), **ROOM)


def _spoilt(manifest: Manifest, position: int, spoil: Callable[[TensorRef], TensorRef]) -> Manifest:
    variant = manifest.variants[2]
    tensors = list(variant.tensors)
    tensors[position] = spoil(tensors[position])
    return replace(manifest, variants={**manifest.variants, 2: replace(variant, tensors=tuple(tensors))})


def test_a_cpu_that_lacks_an_instruction_set_is_found() -> None:
    manifest = replace(tiny.manifest(), cpu_features=("avx2", "avx512f"))
    check_cpu(manifest, {"avx2", "avx512f", "gfni"})
    check_cpu(manifest, ())
    with pytest.raises(UnsuitableModel, match="another CPU: this one lacks avx512f"):
        check_cpu(manifest, {"avx2"})


def test_a_segment_larger_than_its_pages_is_found() -> None:
    manifest = tiny.manifest()
    segments = (replace(manifest.segments[0], bytes=tiny.PAGE + 1), manifest.segments[1])
    with pytest.raises(UnsuitableModel, match="larger than its pages"):
        check_fit(replace(manifest, segments=segments), **ROOM)
