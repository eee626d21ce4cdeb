from __future__ import annotations

from pathlib import Path

import pytest

from converters import targets
from converters.arch import capability_of
from converters.request import ConversionError, ConversionRequest


def test_an_architecture_is_a_compute_capability() -> None:
    assert [capability_of(arch) for arch in ("sm_80", "sm_90a", "sm_100f", "sm_121")] == [80, 90, 100, 121]


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ("sm_75", "sm_75 is too old: .* from sm_80 on"),
        ("sm90", "'sm90' is not a GPU architecture: expected one such as sm_90"),
        ("haswell", "'haswell' is not a GPU architecture"),
        ("native --help", "'native --help' is not a GPU architecture"),
        ("", "--arch sm_XX"),
    ],
)
def test_another_one_is_refused_before_anything_is_lowered(arch: str, reason: str) -> None:
    request = ConversionRequest(Path("model.onnx"), "m", 0, (1,), target="cuda", arch=arch)
    with pytest.raises(ConversionError, match=reason):
        targets.resolve(request)
