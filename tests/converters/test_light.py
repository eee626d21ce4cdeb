"""Nine real architectures with random weights, at batch 1 and 4. Minutes each with plain kernels."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from converters.convert import convert
from converters.request import ConversionRequest
from tests.converters.light import NAMES, light_model


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_an_architecture_agrees_with_the_reference(name: str, tmp_path: Path) -> None:
    onnx.save(light_model(name), tmp_path / "model.onnx")
    (tmp_path / "artifact").mkdir()
    request = ConversionRequest(tmp_path / "model.onnx", name, 4, (1, 4))
    manifest = convert(request, tmp_path / "artifact", {}, lambda _: None)
    assert manifest.origin["checked"].startswith("1 against onnxruntime, 4 against batch size 1")
    assert b"TVMBackendAllocWorkspace" not in (tmp_path / "artifact/kernels.so").read_bytes()
