"""Launches that no GPU takes are refused where they are made; grids that are large lie along x."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact.manifest import Launch
from converters import device_code
from converters.launches import check_launch
from converters.request import ConversionError
from tests.cuda.checks import Case


@pytest.mark.parametrize(
    ("launch", "reason"),
    [
        (Launch("f", (2**31, 1, 1), (32, 1, 1), 0, ()), "kernel k takes 2147483648 blocks along x"),
        (Launch("f", (1, 65536, 1), (32, 1, 1), 0, ()), "65536 blocks along y, .* 1 to 65535"),
        (Launch("f", (1, 1, 65536), (32, 1, 1), 0, ()), "65536 blocks along z"),
        (Launch("f", (0, 1, 1), (32, 1, 1), 0, ()), "0 blocks along x"),
        (Launch("f", (1, 1, 1), (32, 32, 2), 0, ()), r"blocks of \(32, 32, 2\) threads"),
        (Launch("f", (1, 1, 1), (1, 1, 65), 0, ()), r"blocks of \(1, 1, 65\) threads"),
        (Launch("f", (1, 1, 1), (32, 1, 1), 101_377, ()), "101377 bytes of shared memory .* has 101376"),
    ],
)
def test_a_launch_beyond_the_limits_is_refused(launch: Launch, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        check_launch("k", launch, 86)


def test_a_launch_within_the_limits_is_taken() -> None:
    check_launch("k", Launch("f", (2**31 - 1, 65535, 65535), (16, 1, 64), 101_376, ()), 86)


def test_a_tensor_beyond_32_bits_is_refused(tmp_path: Path) -> None:
    case = Case()
    x = case.op("Expand", case.data("x", 1, 1), case.constant([65536, 32768], np.int64))
    case.show("y", case.op("ReduceSum", case.op("Relu", x), keepdims=1))
    with pytest.raises(ConversionError, match=r"shape \[65536, 32768\] has more elements .*: use a smaller"):
        case.converted(tmp_path, "fp32", "sm_90")


def test_many_products_lie_along_the_first_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"")
    case = Case()
    products = case.op("MatMul", case.data("x", 70_000, 2, 8), case.data("y", 70_000, 8, 4))
    case.show("products", products)
    manifest = case.converted(tmp_path, "tf32", "sm_90")
    assert [launch.grid for every in manifest.launches.values() for launch in every] == [(70_000, 1, 1)]
