"""`squeezenet`: SqueezeNet 1.1 (Iandola et al., 2016) with random weights, for what it costs to run."""

from __future__ import annotations

import onnx

from scripts.models.graph import Graph

CLASSES = 1000


def build() -> onnx.ModelProto:
    """data: FP32 [batch, 3, 224, 224]. prob: FP32 [batch, 1000], the softmax."""
    graph = Graph("squeezenet", seed=11)
    x = graph.input("data", ["batch", 3, 224, 224])
    x = graph.op("Relu", graph.conv(x, "conv1", (3, 64), 3, strides=[2, 2]))
    channels = 64
    for index, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), 2):
        if index in (2, 4, 6):
            x = graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
        x = _fire(graph, x, f"fire{index}", (channels, squeeze))
        channels = 8 * squeeze
    x = graph.op("Relu", graph.conv(x, "conv10", (channels, CLASSES), 1))
    x = graph.op("Flatten", graph.op("GlobalAveragePool", x), axis=1)
    graph.output(graph.op("Softmax", x, axis=1), "prob", ["batch", CLASSES])
    return graph.model()


def _fire(graph: Graph, x: str, name: str, channels: tuple[int, int]) -> str:
    """Squeezes to `channels[1]`, then expands eightfold with 1x1 and 3x3 kernels side by side."""
    squeezed = graph.op("Relu", graph.conv(x, f"{name}_squeeze", channels, 1))
    wide = (channels[1], 4 * channels[1])
    left = graph.conv(squeezed, f"{name}_expand1", wide, 1)
    right = graph.conv(squeezed, f"{name}_expand3", wide, 3, pads=[1, 1, 1, 1])
    return graph.op("Concat", graph.op("Relu", left), graph.op("Relu", right), axis=1)
