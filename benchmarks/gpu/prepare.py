"""Makes a kit: converts networks for a GPU that need not be here, and computes what they should give."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import architectures
from benchmarks.gpu import coarse, kernels
from benchmarks.gpu import weights as packing
from benchmarks.gpu.kit import Array, Model
from clockwork_triton.artifact import Manifest
from converters.convert import convert
from converters.key import origin
from converters.request import ConversionRequest
from converters.samples import Sampler

INDEX_LIMITS = {"input_ids": 8192}
"""BERT's vocabulary."""


def write(
    kit: Path,
    name: str,
    sizes: Sequence[int],
    checked: Sequence[int],
    arch: str,
    precision: str,
    *,
    weights: bool = True,
) -> Model:
    """Converts one of benchmarks.architectures for batch sizes `sizes`, of which some are to be `checked`.
    Takes the place of what the kit had of it. ConversionError if it cannot be converted."""
    kit.mkdir(parents=True, exist_ok=True)
    model = Model(name, precision, tuple(checked), weights, kit / f"{name}-{precision}")
    with tempfile.TemporaryDirectory(prefix=".making-", dir=kit) as scratch:
        made = Model(name, precision, tuple(checked), weights, Path(scratch) / "made")
        _make(made, sizes, arch)
        shutil.rmtree(model.folder, ignore_errors=True)
        made.folder.rename(model.folder)
    return model


def _make(model: Model, sizes: Sequence[int], arch: str) -> None:
    model.artifact.mkdir(parents=True)
    network = architectures.build(model.name)
    coarse.coarsen(network)
    path = model.folder / "model.onnx"
    onnx.save(network, path)
    request = ConversionRequest(
        path, model.name, max(sizes), tuple(sizes), target="cuda", arch=arch, precision=model.precision
    )
    manifest = convert(request, model.artifact, origin(request), lambda progress: None)
    stored = _expected(path, manifest, model.batches)
    np.savez_compressed(model.folder / "check.npz", **stored)  # type: ignore[arg-type]
    path.unlink()
    onnx.save(_signature(network), model.folder / "signature.onnx")
    (model.artifact / "kernels.cu").unlink()
    kernels.write(model.folder, manifest)
    if model.weights:
        packing.pack(model.artifact)
    else:
        (model.artifact / "weights.bin").unlink()
    fields = asdict(model)
    del fields["folder"]
    (model.folder / "kit.json").write_text(json.dumps(fields) + "\n")


def _expected(path: Path, manifest: Manifest, batches: Sequence[int]) -> dict[str, Array]:
    """check.npz."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    stored: dict[str, Any] = {}
    for batch in batches:
        inputs = coarse.coarse_inputs(list(Sampler(manifest, INDEX_LIMITS, (0, 2)).inputs(batch)))
        feeds = {tensor.name: x for tensor, x in zip(manifest.inputs, inputs, strict=True)}
        outputs = session.run([tensor.name for tensor in manifest.outputs], feeds)
        stored |= {f"{batch}.in.{name}": value for name, value in feeds.items()}
        for tensor, value in zip(manifest.outputs, outputs, strict=True):
            stored[f"{batch}.out.{tensor.name}"] = np.asarray(value)
    return stored


def _signature(network: onnx.ModelProto) -> onnx.ModelProto:
    """The inputs and outputs alone."""
    weights = {tensor.name for tensor in network.graph.initializer}
    inputs = [value for value in network.graph.input if value.name not in weights]
    graph = onnx.helper.make_graph([], network.graph.name or "graph", inputs, network.graph.output)
    return onnx.helper.make_model(graph, opset_imports=network.opset_import, ir_version=network.ir_version)
