"""Models as a check sees them: their tensors from the server, their truth from ONNX Runtime."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype

from benchmarks.serving.server import MESSAGE_OPTIONS, Server
from clockwork_triton.bench.requests import serialise

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

FREE = 16
TOLERANCE = 1e-4
"""Of the largest magnitude in the output: what conversion promises."""


@dataclass(frozen=True)
class Tensor:
    """`shape` is without the batch dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Subject:
    """A model that is served. `max_batch_size` 0: it does not batch. `sequences`: its requests are parts of
    sequences, so that what it answers depends on what it was asked before."""

    name: str
    onnx_file: Path
    max_batch_size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    sequences: bool = False

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        return self._session(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)

    def _session(self, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = level
        return onnxruntime.InferenceSession(str(self.onnx_file), options, providers=["CPUExecutionProvider"])

    @cached_property
    def limits(self) -> dict[str, int]:
        """What integers must stay below: in a mask 2, in an index the rows of its table, else 100."""
        graph = onnx.load(self.onnx_file, load_external_data=False).graph
        rows = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
        limits = {}
        for tensor in self.inputs:
            names, bounds = {tensor.name}, [2 if "mask" in tensor.name.lower() else 100]
            for node in graph.node:
                if node.op_type in ("Cast", "Identity") and node.input[0] in names:
                    names.add(node.output[0])
                if node.op_type == "Gather" and node.input[1] in names and node.input[0] in rows:
                    bounds.append(rows[node.input[0]])
            limits[tensor.name] = min(bounds)
        return limits

    def shape(self, tensor: Tensor, rows: int) -> tuple[int, ...]:
        """A dimension that the model leaves open is FREE."""
        shape = tuple(FREE if size < 0 else size for size in tensor.shape)
        return (rows, *shape) if self.max_batch_size else shape

    def random_inputs(self, rows: int, generator: np.random.Generator) -> dict[str, Array]:
        """Standard normal floats; integers in the range that the model can take, also as texts; fair
        booleans."""
        inputs: dict[str, Array] = {}
        for tensor in self.inputs:
            dtype, shape = np.dtype(triton_to_np_dtype(tensor.datatype)), self.shape(tensor, rows)
            if dtype.kind == "f":
                inputs[tensor.name] = generator.standard_normal(shape).astype(dtype)
            elif dtype.kind == "b":
                inputs[tensor.name] = generator.integers(0, 2, shape).astype(dtype)
            else:
                numbers = generator.integers(0, self.limits[tensor.name], shape)
                inputs[tensor.name] = (numbers.astype(str) if dtype.kind == "O" else numbers).astype(dtype)
        return inputs

    def expected(self, inputs: Arrays) -> dict[str, Array]:
        names = [tensor.name for tensor in self.outputs]
        return dict(zip(names, self.session.run(names, dict(inputs)), strict=True))

    def sensitivity(self, several: Sequence[Arrays]) -> float:
        """How far ONNX Runtime is from itself when it computes node by node: what rounding alone can do."""
        names = [tensor.name for tensor in self.outputs]
        plain = self._session(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
        return max(
            deviation(dict(zip(names, plain.run(names, dict(one)), strict=True)), self.expected(one))
            for one in several
        )

    def request(self, inputs: Arrays, timeout_us: int | None = None) -> bytes:
        """A ModelInferRequest, serialised once so that sending it costs the client little."""
        tensors = {
            tensor.name: (tensor.datatype, inputs[tensor.name].shape, _bytes(inputs[tensor.name]))
            for tensor in self.inputs
        }
        return serialise(self.name, tensors, timeout_us)

    def answer(self, reply: bytes) -> dict[str, Array]:
        message = service_pb2.ModelInferResponse.FromString(reply)
        return {
            output.name: _array(raw, output.datatype).reshape(output.shape)
            for output, raw in zip(message.outputs, message.raw_output_contents, strict=True)
        }

    def write_input_data(self, inputs: Arrays, path: Path) -> None:
        """For perf_analyzer, whose own random bits hold NaN and denormals. `inputs` has one row."""
        entry: dict[str, Any] = {}
        for tensor in self.inputs:
            value = inputs[tensor.name]
            content: dict[str, Any] = {"content": value.reshape(-1).tolist()}
            if tensor.datatype != "BYTES":
                content = {"b64": base64.b64encode(value.tobytes()).decode()}
            entry[tensor.name] = content | {"shape": value.shape[1 if self.max_batch_size else 0 :]}
        path.write_text(json.dumps({"data": [entry]}))


def deviation(answer: Arrays, expected: Arrays) -> float:
    """The largest difference of any output, relative to the largest magnitude in that output.

    Infinite where names, shapes, datatypes or texts differ, or where one side is not finite.
    """
    if answer.keys() != expected.keys():
        return float("inf")
    worst = 0.0
    for name, truth in expected.items():
        value = answer[name]
        if value.shape != truth.shape or value.dtype != truth.dtype:
            return float("inf")
        if truth.dtype.kind == "O":
            if [_text(each) for each in value.flat] != [_text(each) for each in truth.flat]:
                return float("inf")
            continue
        difference = np.abs(value.astype(np.float64) - truth.astype(np.float64)).max(initial=0)
        scale = np.abs(truth.astype(np.float64)).max(initial=0)
        if not np.isfinite(difference):
            return float("inf")
        if difference:
            worst = max(worst, float(difference / scale) if scale else float("inf"))
    return worst


def _bytes(array: Array) -> bytes:
    return bytes(serialize_byte_tensor(array).item()) if array.dtype.kind == "O" else array.tobytes()


def _array(raw: bytes, datatype: str) -> Array:
    if datatype == "BYTES":
        texts: Array = deserialize_bytes_tensor(raw)
        return texts
    return np.frombuffer(raw, triton_to_np_dtype(datatype))


def _text(element: Any) -> str:
    return element.decode() if isinstance(element, bytes) else str(element)


def subjects(
    server: Server, repository: Path, names: Sequence[str] = (), *, sequences: bool = False
) -> list[Subject]:
    """The models that the server has ready out of `repository`, by name; `names` picks among them, and those
    of `sequences` are among them only where that is asked for."""
    with grpc.insecure_channel(server.address, MESSAGE_OPTIONS) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=30).models
        ready = sorted({entry.name for entry in index if entry.state == "READY"})
        unknown = set(names) - set(ready)
        if unknown:
            raise ValueError(f"not ready: {', '.join(sorted(unknown))}; the index says:\n{index}")
        found = [_subject(stub, repository, name) for name in ready if not names or name in names]
        return [subject for subject in found if sequences or not subject.sequences]


def _subject(stub: service_pb2_grpc.GRPCInferenceServiceStub, repository: Path, name: str) -> Subject:
    metadata = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=name), timeout=30)
    config = stub.ModelConfig(service_pb2.ModelConfigRequest(name=name), timeout=30).config
    version = max(metadata.versions, key=int)
    file = repository / name / version / (config.default_model_filename or "model.onnx")
    first = 1 if config.max_batch_size else 0
    return Subject(
        name,
        file,
        config.max_batch_size,
        tuple(Tensor(t.name, t.datatype, tuple(t.shape[first:])) for t in metadata.inputs),
        tuple(Tensor(t.name, t.datatype, tuple(t.shape[first:])) for t in metadata.outputs),
        config.HasField("sequence_batching"),
    )
