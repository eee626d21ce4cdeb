"""Real networks to convert, serve and time: nine published architectures and a few built here.

The nine stand in the `onnx` package without weights (`onnx/backend/test/data/light`): every one is a node
that fills a shape with a constant, so all outputs are uniform and prove nothing. Here each becomes a random
weight of fitting scale, and the batch becomes a dimension of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks import networks
from benchmarks.settling import settle

Array = np.ndarray[Any, Any]

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
PUBLISHED: Mapping[str, str] = {
    "alexnet": "light_bvlc_alexnet",
    "densenet121": "light_densenet121",
    "inception_v1": "light_inception_v1",
    "inception_v2": "light_inception_v2",
    "resnet50": "light_resnet50",
    "shufflenet": "light_shufflenet",
    "squeezenet": "light_squeezenet",
    "vgg19": "light_vgg19",
    "zfnet512": "light_zfnet512",
}
BUILT: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "mobilenet": networks.mobilenet,
    "vit": networks.vit,
    "bert": networks.bert,
    "lstm": networks.lstm,
}
NAMES = (*PUBLISHED, *BUILT)


def build(name: str, batch: int | None = None, seed: int = 0) -> onnx.ModelProto:
    """The network with random weights. The first dimension of inputs and outputs is `batch`, or open.

    `seed` is for the published ones. Takes seconds for the large ones (vgg19: 575 MB).
    """
    model = BUILT[name]() if name in BUILT else _published(PUBLISHED[name], seed)
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if batch is None:
            first.dim_param = "batch"
        else:
            first.dim_value = batch
    return model


def _published(filename: str, seed: int) -> onnx.ModelProto:
    model = onnx.load(LIGHT / f"{filename}.onnx")
    graph = model.graph
    fixed = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = _random_weights(graph.node, fixed, np.random.default_rng(seed))
    nodes = [node for node in graph.node if node.output[0] not in weights]
    used = {name for node in nodes for name in node.input}
    for node in nodes:
        if node.op_type == "Reshape" and fixed[node.input[1]][0] == 1:
            # Zero keeps the dimension as it is: the batch.
            fixed[node.input[1]] = np.concatenate([[0], fixed[node.input[1]][1:]])
    kept = {name: value for name, value in {**fixed, **weights}.items() if name in used}
    inputs = [value for value in graph.input if value.name in used and value.name not in kept]
    made = helper.make_graph(
        nodes,
        filename,
        inputs,
        graph.output,
        [numpy_helper.from_array(value, name) for name, value in kept.items()],
    )
    model = helper.make_model(made, opset_imports=model.opset_import, ir_version=8)
    settle(model)
    return model


def _random_weights(
    nodes: Sequence[onnx.NodeProto], shapes: Mapping[str, Array], random: np.random.Generator
) -> dict[str, Array]:
    """A weight for each node that fills a shape, scaled for the operator that reads it."""
    reader: dict[str, tuple[str, int]] = {}
    through = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Unsqueeze"}
    for node in nodes:
        for position, name in enumerate(node.input):
            reader.setdefault(through.get(name, name), (node.op_type, position))
    return {
        node.output[0]: _random_weight(random, tuple(shapes[node.input[0]]), reader[node.output[0]])
        for node in nodes
        if node.op_type == "ConstantOfShape"
    }


def _random_weight(random: np.random.Generator, shape: tuple[int, ...], reader: tuple[str, int]) -> Array:
    operator, position = reader
    if operator == "BatchNormalization" and position == 4:
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if (operator, position) in (("BatchNormalization", 1), ("Mul", 1)):
        return random.uniform(0.8, 1.2, shape).astype(np.float32)
    if len(shape) == 1:
        return (0.1 * random.standard_normal(shape)).astype(np.float32)
    scale = np.sqrt(2.0 / np.prod(shape[1:]))
    return (scale * random.standard_normal(shape, np.float32)).astype(np.float32)
