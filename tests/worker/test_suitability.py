from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from clockwork_triton.artifact import Manifest, TensorRef
from clockwork_triton.artifact.manifest import Launch
from clockwork_triton.worker.cuda.driver import GpuFacts
from clockwork_triton.worker.device import UnsuitableModel
from clockwork_triton.worker.suitability import check_cpu, check_fit, check_gpu
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


GPU = GpuFacts("GPU", (8, 6), 1 << 30, 84, "0000:01:00.0", "GPU-0", 99 << 10, (13, 0))


def _for_gpu(arch: str, shared_bytes: int = 0, **origin: str) -> Manifest:
    launches = {"kernel": (Launch("kernel", (1, 1, 1), (32, 1, 1), shared_bytes, ()),)}
    return replace(tiny.manifest(), gpu_arch=arch, launches=launches, origin=origin)


@pytest.mark.parametrize(
    ("arch", "runs", "not_on"),
    [
        ("sm_80", [(8, 0), (8, 6), (8, 9)], [(7, 5), (8, 7), (9, 0)]),
        ("sm_86", [(8, 6), (8, 9)], [(8, 0), (8, 7)]),
        ("sm_87", [(8, 7)], [(8, 6), (8, 9)]),
        ("sm_90a", [(9, 0)], [(10, 0)]),
        ("sm_100", [(10, 0), (10, 3)], [(9, 0), (10, 1), (12, 0)]),
        ("sm_100a", [(10, 0)], [(10, 3)]),
        ("sm_100f", [(10, 0), (10, 3)], [(10, 1), (11, 0), (12, 0)]),
        ("sm_103f", [(10, 3)], [(10, 0)]),
        ("sm_120", [(12, 0), (12, 1)], [(10, 0)]),
    ],
)
def test_device_code_runs_on_its_own_generation_where_that_is_not_older(
    arch: str, runs: list[tuple[int, int]], not_on: list[tuple[int, int]]
) -> None:
    for capability in runs:
        check_gpu(_for_gpu(arch), replace(GPU, capability=capability))
    for capability in not_on:
        own = "sm_{}{}".format(*capability)
        with pytest.raises(UnsuitableModel, match=rf"this GPU \({own}\) cannot run: .* --arch {own}"):
            check_gpu(_for_gpu(arch), replace(GPU, capability=capability))


def test_a_block_that_needs_more_shared_memory_than_the_gpu_has_is_found() -> None:
    check_gpu(_for_gpu("sm_80", 101_376), GPU)
    with pytest.raises(UnsuitableModel, match=r"needs 110592 bytes .* GPU has 101376: .* --arch sm_86"):
        check_gpu(_for_gpu("sm_80", 110_592), GPU)


def test_a_driver_older_than_the_compiler_is_found() -> None:
    old = replace(GPU, cuda_version=(12, 4))
    for version in ("13.0.88", "13.1.2"):
        check_gpu(_for_gpu("sm_86", nvcc=version), GPU)
    check_gpu(_for_gpu("sm_86", nvcc="12.8.93"), old)
    check_gpu(_for_gpu("sm_86"), old)
    with pytest.raises(UnsuitableModel, match=r"by nvcc 13.0.88, and the driver here knows CUDA 12\.4: "):
        check_gpu(_for_gpu("sm_86", nvcc="13.0.88"), old)


def test_what_is_made_for_a_cpu_is_not_for_a_gpu() -> None:
    with pytest.raises(UnsuitableModel, match="convert it with --target cuda"):
        check_gpu(tiny.manifest(), GPU)
