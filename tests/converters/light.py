"""Real architectures with random weights, made of the weightless files that the onnx package carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
NAMES = tuple(sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("light_*.onnx")))

# What a ConstantOfShape stands for, by the operator and the position of the input it feeds.
_VARIANCE = ("BatchNormalization", 4)
_SCALES = {("BatchNormalization", 1), ("Mul", 1)}


def light_model(name: str, seed: int = 0) -> onnx.ModelProto:
    """The architecture with He-scaled weights, normalisations near the identity, and any batch size."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    rng = np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    role = {}
    through = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Unsqueeze"}
    for node in graph.node:
        for position, source in enumerate(node.input):
            role.setdefault(through.get(source, source), (node.op_type, position))
    made = []
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            weight = _weight(rng, tuple(shapes[node.input[0]]), role.get(node.output[0], ("", 0)))
            made.append(numpy_helper.from_array(weight, node.output[0]))
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    used = {source for node in nodes for source in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    kept = [_any_batch(tensor) if _is_reshape(nodes, tensor.name) else tensor for tensor in kept]
    inputs = [value for value in graph.input if value.name not in shapes]
    for value in (*inputs, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    outputs = [*graph.output, *_logits(nodes)]
    fresh = helper.make_graph(nodes, graph.name, inputs, outputs, [*kept, *made])
    return helper.make_model(fresh, opset_imports=model.opset_import, ir_version=8)


def _logits(nodes: list[onnx.NodeProto]) -> list[onnx.ValueInfoProto]:
    """What goes into a final Softmax, as one more output: with random weights the Softmax saturates, and
    would hide differences."""
    softmax = [node for node in nodes if node.op_type == "Softmax"]
    return [helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None) for node in softmax]


def _weight(rng: np.random.Generator, shape: tuple[int, ...], role: tuple[str, int]) -> np.ndarray:
    if role == _VARIANCE:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if role in _SCALES:
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    if len(shape) < 2:
        return rng.normal(0, 0.1, shape).astype(np.float32)
    fan_in = np.prod(shape[1:])
    return (rng.standard_normal(shape, np.float32) * np.sqrt(2 / fan_in)).astype(np.float32)


def _is_reshape(nodes: list[onnx.NodeProto], name: str) -> bool:
    return any(node.op_type == "Reshape" and node.input[1] == name for node in nodes)


def _any_batch(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """A Reshape's target that keeps the first dimension where the file says 1."""
    shape = numpy_helper.to_array(tensor).copy()
    if shape[0] == 1:
        shape[0] = 0
    return numpy_helper.from_array(shape, tensor.name)
