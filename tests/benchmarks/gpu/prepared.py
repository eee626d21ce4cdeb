"""A kit of one small model, prepared without nvcc, and its kernels for a GPU that there is not."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from benchmarks.gpu import kernels, prepare
from benchmarks.gpu.kit import Model
from clockwork_triton.artifact.manifest import Launch
from converters import device_code
from tests.converters import models
from tests.cuda.emulator import Emulator
from tests.worker.cuda.fake_driver import Kernel


@dataclass(frozen=True)
class Prepared:
    """`source`: of the device code."""

    folder: Path
    model: Model
    source: str
    launches: tuple[Launch, ...]

    def kernels(self, folder: Path) -> dict[str, Kernel]:
        """For the fake driver."""
        emulator = Emulator(self.source, folder)
        return {launch.function: functools.partial(emulator.launch, launch) for launch in self.launches}

    def emulate(self, folder: Path) -> None:
        """What FAKE_CUDA_KERNELS of the fake library is to name."""
        Emulator(self.source, folder).path.rename(folder / "kernels.so")
        lines = {f"{launch.function} {len(launch.args)}\n" for launch in self.launches}
        (folder / "counts.txt").write_text("".join(sorted(lines)))


def _network() -> onnx.ModelProto:
    """Little work, in as many launches as make a graph."""
    return models.model(
        [
            models.node("MatMul", ["x", "w"], ["y"]),
            models.node("Softmax", ["y"], ["s"]),
            models.node("MatMul", ["s", "v"], ["z"]),
        ],
        {"x": (models.FLOAT, ["N", 16])},
        {"z": (models.FLOAT, ["N", 8])},
        {"w": models.weights(16, 8), "v": models.weights(8, 8, seed=1)},
    )


def prepared(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    weights: bool = True,
    sizes: tuple[int, ...] = (1, 2),
) -> Prepared:
    """Under the name of a network that is asked for, so that its targets are judged."""
    code: list[Any] = []
    build = device_code.build

    def keeping(*arguments: Any) -> Any:
        code.append(build(*arguments))
        return code[-1]

    monkeypatch.setattr("benchmarks.architectures.build", lambda name: _network())
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"\x7fELF")
    monkeypatch.setattr(device_code, "build", keeping)
    monkeypatch.setattr(kernels, "compile_source", lambda text, arch: b"\x7fELF")
    model = prepare.write(folder, "resnet50", sizes, sizes[:2], "sm_90", "tf32", weights=weights)
    launches = tuple(launch for every in code[0].launches.values() for launch in every)
    return Prepared(folder, model, code[0].source, launches)


def unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch, *, weights: bool = True) -> Prepared:
    """As the steps that measure find it."""
    found = prepared(folder, monkeypatch, weights=weights)
    found.model.unpack()
    return found
