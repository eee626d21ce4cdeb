"""Whole networks to device code, where nvcc is; the code itself runs on an emulated GPU."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.architectures import NAMES, build
from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.artifact.pages import PAGE_BYTES
from clockwork_triton.datatypes import numpy_dtype
from clockwork_triton.verification import verify
from converters.convert import convert
from converters.nvcc import compile_source
from converters.request import ConversionError, ConversionRequest
from converters.samples import Sampler
from tests.converters.models import saved, small_convnet
from tests.cuda.emulator import EmulatedArtifact, needs_emulation, needs_nvcc

ARCHITECTURES = ("sm_80", "sm_90")
LIMITS = {"fp32": 1e-4, "tf32": 2e-2, "fp16": 2e-2}
CUBIN = b"\x7fELF"
OTHERS = {"bert": 4}
"""Kernels of TVM's own: there, on the tokens and their places."""


def _convert(path: Path, directory: Path, arch: str, sizes: tuple[int, ...], precision: str) -> Manifest:
    directory.mkdir()
    request = ConversionRequest(
        path, "model", max(sizes), sizes, target="cuda", arch=arch, precision=precision
    )
    return convert(request, directory, {}, lambda progress: None)


def _error(path: Path, directory: Path, size: int) -> float:
    """The largest difference from ONNX Runtime, relative to the output's largest magnitude."""
    artifact = EmulatedArtifact(directory)
    inputs = Sampler(artifact.manifest, {}, (0, 2)).inputs(size)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {tensor.name: x for tensor, x in zip(artifact.manifest.inputs, inputs, strict=True)}
    expected = session.run([tensor.name for tensor in artifact.manifest.outputs], feeds)
    actual = artifact.run(size, inputs)
    return max(difference(np.asarray(want), have) for want, have in zip(expected, actual, strict=True))


@needs_nvcc
@needs_emulation
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_small_network_becomes_an_artifact_for_a_gpu(tmp_path: Path, arch: str) -> None:
    path = saved(small_convnet(), tmp_path)
    manifest = _convert(path, tmp_path / "artifact", arch, (1, 4), "tf32")
    assert (tmp_path / "artifact" / "kernels.cubin").read_bytes().startswith(CUBIN)
    assert not (tmp_path / "artifact" / "kernels.so").exists()
    assert (manifest.gpu_arch, manifest.cpu_features) == (arch, ())
    assert manifest.page_bytes == PAGE_BYTES["cuda"]
    assert Manifest.read(tmp_path / "artifact") == manifest
    for size in (1, 4):
        assert _error(path, tmp_path / "artifact", size) < LIMITS["tf32"]


@needs_nvcc
@needs_emulation
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_an_architecture_compiles_and_computes_what_it_should(tmp_path: Path, name: str, arch: str) -> None:
    """In exact FP32, so that what differs is wrong; and by the templates' kernels alone."""
    onnx.save(build(name), tmp_path / "model.onnx")
    manifest = _convert(tmp_path / "model.onnx", tmp_path / "artifact", arch, (1,), "fp32")
    launched = {launch.function for every in manifest.launches.values() for launch in every}
    source = (tmp_path / "artifact" / "kernels.cu").read_text()
    templates = set(re.findall(r"^KERNEL\(.*?\) (\w+)\(", source, re.MULTILINE))
    assert len(launched - templates) <= OTHERS.get(name, 0), launched - templates
    assert _error(tmp_path / "model.onnx", tmp_path / "artifact", 1) < LIMITS["fp32"]


@needs_nvcc
@needs_emulation
@pytest.mark.long
@pytest.mark.parametrize(("name", "precision"), [("resnet50", "tf32"), ("bert", "tf32"), ("bert", "fp16")])
def test_an_architecture_in_less_precision_passes_its_own_check(
    tmp_path: Path, name: str, precision: str
) -> None:
    """Rounding as the GPU does, at sizes whose kernels have other tiles and splits."""
    onnx.save(build(name), tmp_path / "model.onnx")
    _convert(tmp_path / "model.onnx", tmp_path / "artifact", "sm_90", (1, 2), precision)
    artifact = EmulatedArtifact(tmp_path / "artifact")
    expectation = Expectation.read(tmp_path / "artifact", artifact.manifest)
    assert expectation is not None

    async def ask(size: int, inputs: Sequence[bytes]) -> list[bytes]:
        arrays = [
            np.frombuffer(content, numpy_dtype(tensor.dtype)).reshape(size, *tensor.shape)
            for content, tensor in zip(inputs, artifact.manifest.inputs, strict=True)
        ]
        return [array.tobytes() for array in artifact.run(size, arrays)]

    error = asyncio.run(verify(ask, artifact.manifest, expectation, "an emulated GPU"))
    assert error > 1e-6, "it does round"


@needs_nvcc
def test_what_the_compiler_says_is_passed_on() -> None:
    with pytest.raises(ConversionError, match='identifier "nonsense" is undefined'):
        compile_source("__global__ void f() { nonsense(); }", "sm_90")


def test_without_nvcc_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.nvcc.find_compiler", lambda: None)
    with pytest.raises(ConversionError, match="needs nvcc"):
        compile_source("", "sm_90")
