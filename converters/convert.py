"""One ONNX file to one artifact. Runs in a child process: see `converters.child`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clockwork_triton.artifact.cpu_features import host_features, missing
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.artifact.pages import PAGE_BYTES
from clockwork_triton.datatypes import TensorSpec
from converters import constants, targets
from converters.compiler import Compiler
from converters.crosscheck import crosscheck
from converters.expected import expected
from converters.graph import Graph
from converters.halves import widened
from converters.importer import import_model
from converters.kernels import KernelSet
from converters.lower import lower
from converters.plan import plan
from converters.prepare import prepare
from converters.request import ConversionError, ConversionRequest, Progress
from converters.schedules.cpu.search import TRIALS
from converters.schedules.cpu.tuning import Tuner
from converters.shapes import input_shapes
from converters.source import Source, read_source
from converters.support import check_tensors
from converters.weights import WeightSpool


def convert(
    request: ConversionRequest,
    directory: Path,
    origin: Mapping[str, str],
    report: Callable[[Progress], None],
    choices: Path | None = None,
) -> Manifest:
    """Writes the artifact's files into `directory`, which exists and is empty. `origin`: what the manifest is
    to say of what the artifact was made of, nvcc's version included; see `converters.key`. `choices`: where
    tuning keeps what it chose for the next model; nowhere if None.

    Raises ConversionError where the model cannot be converted, or the artifact does not compute what the
    ONNX reference does.
    """
    progress = _Stages(request, report)
    progress.begin("reading")
    source = read_source(request.onnx)
    check_tensors(source.graph)
    inputs = _order("input", request.inputs, [value.name for value in source.graph.input])
    outputs = _order("output", request.outputs, [value.name for value in source.graph.output])
    if len(inputs) < len(source.graph.input):
        left_out = [value.name for value in source.graph.input if value.name not in inputs]
        raise ConversionError(f"the configuration leaves out input '{left_out[0]}' of the model")
    source, halves = widened(source)
    target = targets.resolve(request)
    graphs: dict[int, Graph] = {}
    with WeightSpool(directory) as spool, Compiler(target) as compiler:
        tuner = _tuner(request, target, choices)
        kernels = KernelSet(target, request.precision, compiler if request.target == "cpu" else None, tuner)
        kernels.trials = TRIALS if request.tune == "search" else 0
        lowering = _Lowering(source, request, inputs, outputs, kernels, spool)
        for size in sorted(request.batch_sizes):
            progress.begin(f"lowering batch size {size}")
            graphs[size] = lowering.graph(size)
        index_limits = lowering.index_limits
        del source, lowering
        if tuner is not None:
            tuner.save()
        progress.begin("compiling")
        launches = kernels.compile(directory)
        progress.begin("packing weights")
        page_bytes = PAGE_BYTES[request.target]
        segments, places = spool.write(directory / "weights.bin", page_bytes)
    manifest = Manifest(
        name=request.name,
        target=str(kernels.target),
        max_batch_size=request.max_batch_size,
        inputs=_specs(request, graphs, inputs, "input"),
        outputs=_specs(request, graphs, outputs, "output"),
        page_bytes=page_bytes,
        segments=segments,
        variants={size: plan(graph, size, places) for size, graph in graphs.items()},
        origin=origin,
        cpu_features=targets.cpu_features(kernels.target),
        gpu_arch=targets.gpu_arch(kernels.target),
        launches=launches,
    )
    (directory / "manifest.json").write_text(manifest.to_json() + "\n")
    runs_here = request.target == "cpu" and not missing(manifest.cpu_features, host_features())
    progress.begin("checking against the ONNX reference" if runs_here else "noting what it should compute")
    if runs_here:
        checked = crosscheck(request.onnx, directory, index_limits, halves)
    else:
        expected(request, manifest, index_limits, halves).write(directory)
        checked = "by the first device that runs it"
    manifest = replace(manifest, origin={**origin, "checked": checked})
    (directory / "manifest.json").write_text(manifest.to_json() + "\n")
    progress.begin("done")
    return manifest


@dataclass(frozen=True)
class _Lowering:
    source: Source
    request: ConversionRequest
    inputs: Sequence[str]
    outputs: Sequence[str]
    kernels: KernelSet
    spool: WeightSpool
    index_limits: dict[str, int] = field(default_factory=dict)

    def graph(self, size: int) -> Graph:
        """One batch size. An error at a size after the first says so: the others worked."""
        try:
            shapes = input_shapes(self.source.graph, self.request, size)
            prepared = prepare(self.source, {name: shapes[name] for name in self.inputs}, self.outputs)
            self.index_limits.update(prepared.index_limits)
            module = import_model(prepared.graph, prepared.opset, constants.as_tensors(prepared.weights))
            graph = lower(module, self.kernels, lambda tensor: constants.store(self.spool, tensor))
            if self.request.max_batch_size:
                for name, value in zip(self.outputs, graph.outputs, strict=True):
                    shape = graph.values[value].shape
                    if shape[:1] != (size,):
                        raise ConversionError(
                            f"output '{name}' has shape {list(shape)} for a batch of {size}: where the first "
                            "dimension is no batch, set max_batch_size to 0"
                        )
            return graph
        except ConversionError as error:
            if self.request.max_batch_size and size > min(self.request.batch_sizes):
                raise ConversionError(
                    f"a batch of {size} is impossible, though smaller ones work ({error}). If a shape "
                    "inside the model is fixed, set max_batch_size to 1 or 0"
                ) from error
            raise


def _tuner(request: ConversionRequest, target: Any, choices: Path | None) -> Tuner | None:
    """Timing on this machine says nothing about another kind."""
    if request.tune == "off":
        return None
    if request.target != "cpu" or request.arch:
        raise ConversionError("tuning times kernels here: it is for this machine's CPU, named by no --arch")
    return Tuner(target, choices)


def _order(kind: str, wanted: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The names in the order wanted; the file's if none is."""
    for name in wanted:
        if name not in known:
            raise ConversionError(f"the model has no {kind} '{name}' (it has: {', '.join(known)})")
    return tuple(wanted) or tuple(known)


def _specs(
    request: ConversionRequest, graphs: Mapping[int, Graph], names: Sequence[str], kind: str
) -> tuple[TensorSpec, ...]:
    """The tensors of the manifest: without the batch dimension for a model that batches."""
    rows = set()
    for graph in graphs.values():
        values = [graph.values[number] for number in (graph.inputs if kind == "input" else graph.outputs)]
        shapes = tuple(value.shape[1:] if request.max_batch_size else value.shape for value in values)
        rows.add((tuple(value.dtype for value in values), shapes))
    if len(rows) != 1:
        raise ConversionError(
            f"the shape of an {kind}'s row depends on the batch size: set max_batch_size to 0"
        )
    dtypes, shapes = rows.pop()
    return tuple(TensorSpec(*tensor) for tensor in zip(names, dtypes, shapes, strict=True))


class _Stages:
    """Counts the stages of a conversion for its progress."""

    def __init__(self, request: ConversionRequest, report: Callable[[Progress], None]) -> None:
        self._name = request.name
        self._total = len(request.batch_sizes) + 4
        self._done = -1
        self._report = report

    def begin(self, stage: str) -> None:
        self._done += 1
        self._report(Progress(self._name, stage, self._done, self._total))
