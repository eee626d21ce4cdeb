"""Prepared models: artifacts with inputs and expected outputs, to be checked without converting.

A kit is a folder of one folder a model:

    artifact/      as `clockwork-triton convert` makes it
    check.npz      for some batch sizes: inputs as `B.in.NAME`, ONNX Runtime's outputs as `B.out.NAME`
    kit.json       the model's name and precision, and whether its weights were left out

Weights can be left out where a kit has to be small: random ones take their place, and times are all that is
checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clockwork_triton.artifact import Manifest

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Model:
    """`weights`: whether the kit has them."""

    name: str
    precision: str
    batches: tuple[int, ...]
    weights: bool
    folder: Path

    @property
    def artifact(self) -> Path:
        return self.folder / "artifact"

    def arrays(self, batch: int, kind: str) -> list[Array]:
        """`kind`: in or out; in the manifest's order."""
        manifest = Manifest.read(self.artifact)
        tensors = manifest.inputs if kind == "in" else manifest.outputs
        with np.load(self.folder / "check.npz") as stored:
            return [stored[f"{batch}.{kind}.{tensor.name}"] for tensor in tensors]


def read(kit: Path) -> list[Model]:
    """The models of a kit, with random weights written where they were left out."""
    models = []
    for path in sorted(kit.glob("*/kit.json")):
        fields = json.loads(path.read_text())
        fields["batches"] = tuple(fields["batches"])
        model = Model(**fields, folder=path.parent)
        if not model.weights:
            _write_random(model.artifact)
        models.append(model)
    return models


def write(
    kit: Path, name: str, batches: Sequence[int], arch: str, precision: str, *, weights: bool = True
) -> Model:
    """Converts one of benchmarks.architectures and computes what it should give."""
    import onnx
    import onnxruntime

    from benchmarks.architectures import build
    from converters.convert import convert
    from converters.request import ConversionRequest
    from converters.samples import Sampler

    model = Model(name, precision, tuple(batches), weights, kit / f"{name}-{precision}")
    model.artifact.mkdir(parents=True)
    path = model.folder / "model.onnx"
    onnx.save(build(name), path)
    request = ConversionRequest(
        path, name, max(batches), model.batches, target="cuda", arch=arch, precision=precision
    )
    manifest = convert(request, model.artifact, {}, lambda progress: None)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    stored: dict[str, Array] = {}
    for batch in batches:
        inputs = Sampler(manifest, {}, (0, 2)).inputs(batch)
        feeds = {tensor.name: x for tensor, x in zip(manifest.inputs, inputs, strict=True)}
        outputs = session.run([tensor.name for tensor in manifest.outputs], feeds)
        stored |= {f"{batch}.in.{name}": value for name, value in feeds.items()}
        for tensor, value in zip(manifest.outputs, outputs, strict=True):
            stored[f"{batch}.out.{tensor.name}"] = np.asarray(value)
    np.savez_compressed(model.folder / "check.npz", **stored)  # type: ignore[arg-type]
    path.unlink()
    (model.artifact / "kernels.cu").unlink()
    if not weights:
        (model.artifact / "weights.bin").unlink()
    fields = asdict(model)
    del fields["folder"]
    (model.folder / "kit.json").write_text(json.dumps(fields) + "\n")
    return model


def _write_random(artifact: Path) -> None:
    """Small numbers of either sign, as whole floats of any precision."""
    manifest = Manifest.read(artifact)
    size = max((segment.file_offset + segment.bytes for segment in manifest.segments), default=0)
    random = np.random.default_rng(0)
    values = (0.02 * random.standard_normal(-(-size // 4), np.float32)).astype(np.float32)
    (artifact / "weights.bin").write_bytes(values.tobytes()[:size])
