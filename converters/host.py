"""Artifacts of models that are not compiled: the ONNX file itself, proven to run on a host runtime.

Runs in a child process, as conversions do: what a file does to the runtime costs only that process.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from clockwork_triton.artifact.host import (
    EVALUATOR,
    ONNXRUNTIME,
    HostError,
    HostModel,
    installed_runtime,
    test_inputs,
)
from clockwork_triton.artifact.manifest import MODEL_FILENAME, Manifest, Variant
from clockwork_triton.artifact.pages import PAGE_BYTES
from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.datatypes import NUMPY_TO_WIRE, TensorSpec
from converters.inspect import inspect
from converters.request import ConversionError, ConversionRequest
from converters.source import external_files

FILLERS = ("1", "0", "a", "")
"""Tried in turn as every element of a test input, until the model takes one."""


def host_origin(origin: Mapping[str, str]) -> dict[str, str]:
    """What determines an artifact that is not compiled: all that a compiled one depends on, for it is made
    where that cannot be, and the runtime."""
    package = {ONNXRUNTIME: "onnxruntime", EVALUATOR: "onnx"}[installed_runtime()]
    return {**origin, "runtime": f"{installed_runtime()} {version(package)}"}


def make_host_artifact(
    request: ConversionRequest, directory: Path, origin: Mapping[str, str], reason: str
) -> Manifest:
    """Writes the artifact's files into `directory`, which exists and is empty. `reason`: why not to compile.

    ConversionError where no runtime that is installed runs the model, or it makes what it does not declare.
    """
    runtime = installed_runtime()
    signature = inspect(request.onnx)
    _check_types(signature, runtime, reason)
    _copy(request.onnx, directory)
    manifest = Manifest(
        name=request.name,
        target="host",
        max_batch_size=request.max_batch_size,
        inputs=_specs(request.inputs, signature.inputs, request),
        outputs=_specs(request.outputs, signature.outputs, request),
        page_bytes=PAGE_BYTES[request.target],
        segments=(),
        variants={size: Variant(size, 0, (), ()) for size in request.batch_sizes},
        origin=origin,
        runtime=runtime,
        reason=reason,
    )
    manifest = _tried(manifest, signature, directory)
    (directory / "manifest.json").write_text(manifest.to_json() + "\n")
    return manifest


def _check_types(signature: Signature, runtime: str, reason: str) -> None:
    types = {tensor.dtype for tensor in (*signature.inputs, *signature.outputs)}
    if runtime == EVALUATOR and "object" not in types:
        raise ConversionError(f"{reason}. With ONNX Runtime (extra [onnxruntime]) it could run without that")
    unknown = sorted(types - NUMPY_TO_WIRE.keys())
    if unknown:
        raise ConversionError(f"{reason}. Nor does {runtime} take tensors of type {unknown[0]} here")


def _copy(onnx: Path, directory: Path) -> None:
    shutil.copyfile(onnx, directory / MODEL_FILENAME)
    for file in external_files(onnx):
        target = directory / file.relative_to(onnx.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _specs(
    wanted: Sequence[str], tensors: Sequence[SignatureTensor], request: ConversionRequest
) -> tuple[TensorSpec, ...]:
    """In the order wanted (the file's if none is), without the batch dimension. A shape that is not known
    at all is empty for the time being."""
    by_name = {tensor.name: tensor for tensor in tensors}
    for name in wanted:
        if name not in by_name:
            raise ConversionError(f"the model has no tensor '{name}' (it has: {', '.join(by_name)})")
    specs = []
    for name in tuple(wanted) or tuple(by_name):
        shape = by_name[name].shape or ()
        row = shape[1:] if request.max_batch_size else shape
        specs.append(TensorSpec(name, by_name[name].dtype, request.shapes.get(name, row)))
    return tuple(specs)


def _tried(manifest: Manifest, signature: Signature, directory: Path) -> Manifest:
    """The manifest with a filler that the model takes, and with the ranks of all outputs."""
    try:
        model = HostModel(directory, manifest)
    except Exception as error:  # the runtimes' many error types have no common base
        text = " ".join(str(error).split())[:300]
        raise ConversionError(f"{manifest.reason}. Nor does {manifest.runtime} read it: {text}") from error
    reasons = []
    for filler in FILLERS:
        tried = replace(manifest, filler=filler)
        try:
            arrays = model.compute(test_inputs(tried, 1))
            tried = replace(tried, outputs=_ranked(tried, signature, [array.ndim for array in arrays]))
            for rows in {1, min(2, max(1, manifest.max_batch_size))}:
                HostModel.check(tried, model.compute(test_inputs(tried, rows)), rows)
            return tried
        except HostError as error:
            reasons.append(str(error))
    raise ConversionError(f"{manifest.reason}. Nor does it run on {manifest.runtime}: {reasons[0]}")


def _ranked(manifest: Manifest, signature: Signature, ranks: Sequence[int]) -> tuple[TensorSpec, ...]:
    """The outputs, those whose rank the file does not tell with that of what they turned out to be."""
    unknown = {tensor.name for tensor in signature.outputs if tensor.shape is None}
    batch = int(manifest.max_batch_size > 0)
    return tuple(
        replace(spec, shape=(-1,) * max(rank - batch, 0)) if spec.name in unknown else spec
        for spec, rank in zip(manifest.outputs, ranks, strict=True)
    )
