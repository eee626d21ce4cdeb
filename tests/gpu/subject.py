"""A model for tests on a GPU, and what it should give: of the kit that GPU_KIT names, or made here."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.gpu import kernels, kit
from benchmarks.gpu.kit import Array
from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.worker.cuda.driver import CudaError
from clockwork_triton.worker.cuda.libcuda import count, facts
from converters.nvcc import compile_source, find_compiler

KIT = "GPU_KIT"
MADE = "bert"


def _gpus() -> int:
    try:
        return count()
    except CudaError:
        return 0


needs_gpu = pytest.mark.skipif(_gpus() == 0, reason="no GPU on this machine")


@dataclass(frozen=True)
class Subject:
    """`cases`: by batch size, inputs and what ONNX Runtime makes of them, in the manifest's order."""

    artifact: Path
    manifest: Manifest
    cases: dict[int, tuple[list[Array], list[Array]]]
    tolerance: float

    def difference(self, batch: int, outputs: list[Array]) -> float:
        """The largest, of arrays as flat as you like, relative to the output's scale."""
        wanted = self.cases[batch][1]
        return max(
            difference(want, have.reshape(want.shape)) for want, have in zip(wanted, outputs, strict=True)
        )


def subject(folder: Path) -> Subject:
    """The smallest of the kit. Skips the test where there is neither a kit nor what makes one."""
    if os.environ.get(KIT):
        models = [model for model in kit.read(Path(os.environ[KIT])) if model.weights]
        if not models:
            pytest.skip("the kit has no weights")
        return _of(min(models, key=lambda model: Manifest.read(model.artifact).weight_bytes))
    lacking = [name for name in ("tvm", "onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if lacking or find_compiler() is None:
        pytest.skip(f"{KIT} names no kit, and to make one, not here: {', '.join([*lacking, 'nvcc'])}")
    from benchmarks.gpu import prepare

    return _of(prepare.write(folder, MADE, (1, 2, 4), (1, 4), _arch(), "tf32"))


def kernel(name: str, source: str, *models: Path) -> bytes:
    """Device code of benchmarks.gpu.kernels: of these folders of models, or else the kit's, or compiled here.
    Skips the test where it is in none and there is no nvcc."""
    if not models and os.environ.get(KIT):
        models = tuple(model.folder for model in kit.read(Path(os.environ[KIT])))
    for folder in models:
        if (cubin := folder / kernels.FOLDER / name).exists():
            return cubin.read_bytes()
    if find_compiler() is None:
        pytest.skip(f"{KIT} names no kit with {name}, and there is no nvcc to compile it")
    return compile_source(source, _arch())


def _arch() -> str:
    return "sm_{}{}".format(*facts(0).capability)


def _of(model: kit.Model) -> Subject:
    model.unpack()
    manifest = Manifest.read(model.artifact)
    expectation = Expectation.read(model.artifact, manifest)
    assert expectation is not None
    cases = {batch: (model.arrays(batch, "in"), model.arrays(batch, "out")) for batch in model.batches}
    return Subject(model.artifact, manifest, cases, max(expectation.tolerances))
