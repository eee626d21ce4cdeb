"""The same ONNX files for all servers, each with the configuration that its documentation advises."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2, service_pb2

from benchmarks import architectures, networks
from benchmarks.serving import many_models

PEERS = Path(__file__).parent / "peers"
MAX_BATCH = 8
THREADS = 1
"""Of ONNX Runtime, in every instance."""
TYPES = {TensorProto.FLOAT: "TYPE_FP32", TensorProto.INT64: "TYPE_INT64", TensorProto.INT32: "TYPE_INT32"}
MANY_WIDTH = 1448
"""Of the models of which many are served: 16 MiB each."""


def tiny() -> onnx.ModelProto:
    """Twice an FP32[16]: nothing but the way there and back."""
    two = numpy_helper.from_array(np.array([2.0], np.float32), "two")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])],
        [two],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def text() -> onnx.ModelProto:
    """A small BERT of 128 tokens: a few milliseconds for a request of 3 KB."""
    model = networks.bert(layers=2, width=256, heads=4)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


SINGLE: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "tiny": tiny,
    "text": text,
    "squeezenet": lambda: architectures.build("squeezenet"),
    "resnet50": lambda: architectures.build("resnet50"),
}


def write_single(name: str, repository: Path) -> None:
    _write(repository / name, SINGLE[name]())


def write_eight(repository: Path) -> None:
    model = text()
    for number in range(8):
        _write(repository / f"text_{number}", model)


def write_many(repository: Path, count: int) -> None:
    for number in range(count):
        directory = repository / f"dense_{number:02}"
        if not directory.exists():
            many_models.write_model(directory, number, MANY_WIDTH)
            _configure(directory, onnx.load(directory / "1" / "model.onnx"))


def _write(directory: Path, model: onnx.ModelProto) -> None:
    (directory / "1").mkdir(parents=True, exist_ok=True)
    onnx.save(model, directory / "1" / "model.onnx")
    _configure(directory, model)


def _configure(directory: Path, model: onnx.ModelProto) -> None:
    """`config.pbtxt` for this server, and for those without configurations what perf_analyzer asks for."""
    (directory / "config.pbtxt").write_text(f'backend: "onnxruntime"\nmax_batch_size: {MAX_BATCH}\n')
    config = model_config_pb2.ModelConfig(name=directory.name, max_batch_size=MAX_BATCH)
    for tensor in model.graph.input:
        config.input.add(name=tensor.name, data_type=TYPES[_type(tensor)], dims=_dims(tensor))
    for tensor in model.graph.output:
        config.output.add(name=tensor.name, data_type=TYPES[_type(tensor)], dims=_dims(tensor))
    response = service_pb2.ModelConfigResponse(config=config)
    (directory / "config.bin").write_bytes(response.SerializeToString())


def write_triton(source: Path, target: Path, packages: Path, instances: int, timeout_ms: int) -> None:
    """The models of a repository for Triton's Python backend, with dynamic batching. `timeout_ms` not 0: of
    the queue, with REJECT; a request may bring its own."""
    for directory in sorted(source.iterdir()):
        model = onnx.load(directory / "1" / "model.onnx", load_external_data=False)
        place = target / directory.name / "1"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(PEERS / "triton_model.py", place / "model.py")
        if not (place / "model.onnx").exists():
            os.link(directory / "1" / "model.onnx", place / "model.onnx")
        config = triton_config(model, packages, instances, timeout_ms)
        (place.parent / "config.pbtxt").write_text(config)


def triton_config(model: onnx.ModelProto, packages: Path, instances: int, timeout_ms: int) -> str:
    policy = ""
    if timeout_ms:
        policy = (
            "default_queue_policy { timeout_action: REJECT"
            f" default_timeout_microseconds: {timeout_ms * 1000} allow_timeout_override: true }}"
        )
    lines = ['backend: "python"', f"max_batch_size: {MAX_BATCH}"]
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        lines += [
            f'{kind} [ {{ name: "{each.name}" data_type: {TYPES[_type(each)]} dims: {_dims(each)} }} ]'
            for each in values
        ]
    lines += [
        f"dynamic_batching {{ {policy} }}",
        f"instance_group [ {{ kind: KIND_CPU count: {instances} }} ]",
        f'parameters {{ key: "packages" value: {{ string_value: "{packages}" }} }}',
        f'parameters {{ key: "threads" value: {{ string_value: "{THREADS}" }} }}',
    ]
    return "\n".join(lines) + "\n"


def _type(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    """Without the batch."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
