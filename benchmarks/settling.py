"""Gives a network with random weights the activations of a trained one.

With weights drawn layer by layer, a deep network forgets its input: signals grow or fade until the biases
alone decide. So an image is sent through, node by node; every normalisation takes the statistics that it
meets, and every other layer is scaled to answer with unit variance. (Layer-sequential unit-variance
initialisation, Mishkin and Matas, 2016.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]

# What a final Softmax is given: neither flat nor certain of one class.
LOGIT_SCALE = 2.0


def settle(model: onnx.ModelProto, *, powers_of_two: bool = False) -> None:
    """Changes the weights in place. The model has one input, of images.

    `powers_of_two`: a normalisation multiplies by the nearest one, and divides by nothing.
    """
    nodes = list(model.graph.node)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    source = {node.output[0]: node.input[0] for node in nodes if node.op_type in ("Reshape", "Unsqueeze")}
    image = model.graph.input[0]
    shape = [2, *(dim.dim_value for dim in image.type.tensor_type.shape.dim[1:])]
    values: dict[str, Array] = {image.name: np.random.default_rng(0).standard_normal(shape, np.float32)}
    last_use = {name: index for index, node in enumerate(nodes) for name in node.input}
    scaled = [node for node in nodes if node.op_type in ("Conv", "Gemm")]
    for index, node in enumerate(nodes):
        if node.op_type == "BatchNormalization":
            seen = values[node.input[0]].astype(np.float64)
            weights[node.input[3]] = seen.mean((0, 2, 3)).astype(np.float32)
            weights[node.input[4]] = (seen.var((0, 2, 3)) + 1e-3).astype(np.float32)
            if powers_of_two:
                factor = weights[node.input[1]] / np.sqrt(weights[node.input[4]])
                epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
                weights[node.input[1]] = np.sign(factor) * 2.0 ** np.round(np.log2(np.abs(factor)))
                weights[node.input[4]] = np.full_like(factor, 1 - epsilon)
        result = _run(model, node, {**weights, **values})
        if node.op_type in ("Conv", "Gemm"):
            wanted = LOGIT_SCALE if node is scaled[-1] else 1.0
            factor = np.float32(wanted / result[0].std())
            for name in node.input[1:]:
                root = name
                while root not in weights:
                    root = source[root]
                weights[root] = weights[root] * factor
                if name in values:
                    values[name] = values[name] * factor
            result[0] = result[0] * factor
        values.update(zip(node.output, result, strict=False))
        for name in {*node.input, *node.output}:
            if last_use.get(name, -1) <= index:
                values.pop(name, None)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))


def _run(model: onnx.ModelProto, node: onnx.NodeProto, values: Mapping[str, Array]) -> list[Array]:
    """The first output of a single node; all of its inputs are given."""
    fed = {name: values[name] for name in dict.fromkeys(node.input) if name}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in fed.items()
    ]
    outputs = [helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)]
    single = helper.make_model(
        helper.make_graph([node], "single", inputs, outputs),
        opset_imports=model.opset_import,
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        single.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result: list[Array] = session.run(None, fed)
    return result
