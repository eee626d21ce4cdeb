"""Networks whose weights take few values.

A kit has to fit where a hundred megabytes do not, and random weights do not compress. So those of a kit lie
on a grid of a half to the whole of their standard deviation, that is some three bits each; and a
normalisation multiplies by a power of two, so that the converter, which multiplies it into the weights,
leaves them so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.settling import settle

Array = np.ndarray[Any, Any]
SMALLEST = 4096
"""Elements of a weight that is worth it."""


def coarsen(network: onnx.ModelProto) -> None:
    """Changes the weights in place; where there are normalisations, for images, they are fitted anew."""
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim >= 2 and values.size >= SMALLEST:
            coarse = _on_grid(values, 2.0 ** np.floor(np.log2(values.std())))
            tensor.CopyFrom(numpy_helper.from_array(coarse, tensor.name))
    if any(node.op_type == "BatchNormalization" for node in network.graph.node):
        _quieten(network)
        settle(network, powers_of_two=True)


def _quieten(network: onnx.ModelProto) -> None:
    """Has what is added to a shortcut count for a quarter, as it does about in trained networks: otherwise
    what products are rounded by grows from block to block, until no error can be told from it."""
    makers = {name: node for node in network.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in network.graph.initializer}
    for node in network.graph.node:
        branch = makers.get(node.input[0]) if node.op_type in ("Add", "Sum") else None
        if branch is not None and branch.op_type == "BatchNormalization":
            scale = tensors[branch.input[1]]
            quarter = numpy_helper.to_array(scale) * np.float32(0.25)
            scale.CopyFrom(numpy_helper.from_array(quarter, scale.name))


def coarse_inputs(inputs: list[Array]) -> list[Array]:
    """The same for inputs, of a sixteenth."""
    return [_on_grid(array, 1 / 16) if array.dtype == np.float32 else array for array in inputs]


def _on_grid(values: Array, step: float) -> Array:
    found: Array = (step * np.round(values / step)).astype(np.float32)
    return found
