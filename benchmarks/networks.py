"""Networks of kinds that the published ones lack: depthwise, attention, recurrent. Random weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from scripts.models.graph import Graph
from scripts.models.transformer import encoder_layer

# Expansion, channels, blocks and first stride of each stage of MobileNetV2 (Sandler et al., 2018).
MOBILENET_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet() -> onnx.ModelProto:
    """MobileNetV2. image: FP32 [batch, 3, 224, 224]; logits: FP32 [batch, 1000]."""
    graph = Graph("mobilenet", seed=31)
    x = graph.input("image", ["batch", 3, 224, 224])
    x = _clipped(graph, graph.conv(x, "stem", (3, 32), 3, strides=[2, 2], pads=[1, 1, 1, 1]))
    channels = 32
    for stage, (expansion, out, blocks, stride) in enumerate(MOBILENET_STAGES):
        for block in range(blocks):
            name = f"stage{stage}_block{block}"
            x = _inverted_residual(graph, x, name, (channels, out), expansion, 1 if block else stride)
            channels = out
    x = _clipped(graph, graph.conv(x, "head", (channels, 1280), 1))
    x = graph.op("Flatten", graph.op("GlobalAveragePool", x), axis=1)
    graph.output(graph.dense(x, "classifier", (1280, 1000)), "logits", ["batch", 1000])
    return graph.model()


def _inverted_residual(
    graph: Graph, x: str, name: str, channels: tuple[int, int], expansion: int, stride: int
) -> str:
    inside, out = channels
    wide = inside * expansion
    hidden = x
    if expansion > 1:
        hidden = _clipped(graph, graph.conv(hidden, f"{name}_expand", (inside, wide), 1))
    hidden = graph.conv(
        hidden, f"{name}_depthwise", (wide, wide), 3, groups=wide, strides=[stride] * 2, pads=[1, 1, 1, 1]
    )
    hidden = graph.conv(_clipped(graph, hidden), f"{name}_project", (wide, out), 1)
    return graph.op("Add", x, hidden) if stride == 1 and inside == out else hidden


def _clipped(graph: Graph, x: str) -> str:
    """ReLU6."""
    return graph.op("Clip", x, graph.constant(0.0), graph.constant(6.0))


def vit(layers: int = 12, width: int = 192, heads: int = 3, patch: int = 16) -> onnx.ModelProto:
    """ViT-Tiny, pooled by the mean. image: FP32 [batch, 3, 224, 224]; logits: FP32 [batch, 1000]."""
    graph = Graph("vit", seed=37)
    tokens = (224 // patch) ** 2
    x = graph.input("image", ["batch", 3, 224, 224])
    x = graph.conv(x, "patches", (3, width), patch, strides=[patch, patch])
    x = graph.op("Reshape", x, graph.constant([0, width, tokens], np.int64))
    x = graph.op("Transpose", x, perm=[0, 2, 1])
    x = graph.op("Add", x, graph.random("position_embedding", (tokens, width), 0.5))
    for index in range(layers):
        x = encoder_layer(graph, x, f"layer{index}", width=width, heads=heads, inner=4 * width, pre_norm=True)
    x = graph.op("ReduceMean", graph.layer_norm(x, "norm", width), axes=[1], keepdims=0)
    graph.output(graph.dense(x, "classifier", (width, 1000)), "logits", ["batch", 1000])
    return graph.model()


def bert(layers: int = 4, width: int = 512, heads: int = 8, tokens: int = 128) -> onnx.ModelProto:
    """The size of BERT-Small. input_ids, attention_mask, token_type_ids: INT64 [batch, 128].

    last_hidden_state: FP32 [batch, 128, 512]; pooled: FP32 [batch, 512], of the first token.
    """
    vocabulary = 8192
    graph = Graph("bert", seed=41)
    ids, mask, kinds = (
        graph.input(name, ["batch", tokens], TensorProto.INT64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    words = graph.op("Gather", graph.random("words", (vocabulary, width), 1.0), ids, axis=0)
    sorts = graph.op("Gather", graph.random("token_types", (100, width), 0.3), kinds, axis=0)
    x = graph.op("Add", graph.op("Add", words, sorts), graph.random("positions", (tokens, width), 0.5))
    x = graph.layer_norm(x, "embedding_norm", width)
    absent = graph.op("Sub", graph.constant(1.0), graph.op("Cast", mask, to=TensorProto.FLOAT))
    penalty = graph.op("Mul", absent, graph.constant(-10000.0))
    penalty = graph.op("Unsqueeze", penalty, graph.constant([1, 2], np.int64))
    for index in range(layers):
        x = encoder_layer(graph, x, f"layer{index}", width=width, heads=heads, inner=4 * width, mask=penalty)
    x = graph.output(x, "last_hidden_state", ["batch", tokens, width])
    first = graph.op("Gather", x, graph.constant(0, np.int64), axis=1)
    graph.output(graph.op("Tanh", graph.dense(first, "pooler", (width, width))), "pooled", ["batch", width])
    return graph.model()


def lstm(steps: int = 32, features: int = 64, hidden: int = 128) -> onnx.ModelProto:
    """Two layers of LSTM. sequence: FP32 [batch, 32, 64].

    states: FP32 [batch, 32, 128]; last: FP32 [batch, 128], the last state of the second layer.
    """
    graph = Graph("lstm", seed=43)
    x = graph.op("Transpose", graph.input("sequence", ["batch", steps, features]), perm=[1, 0, 2])
    last = ""
    for index, width in enumerate((features, hidden)):
        every, last, _ = graph.ops(
            "LSTM",
            x,
            graph.random(f"layer{index}_input", (1, 4 * hidden, width), width**-0.5),
            graph.random(f"layer{index}_recurrent", (1, 4 * hidden, hidden), hidden**-0.5),
            graph.random(f"layer{index}_bias", (1, 8 * hidden), 0.1),
            count=3,
            hidden_size=hidden,
        )
        x = graph.op("Squeeze", every, graph.constant([1], np.int64))
    graph.output(graph.op("Transpose", x, perm=[1, 0, 2]), "states", ["batch", steps, hidden])
    last = graph.op("Squeeze", last, graph.constant([0], np.int64))
    graph.output(last, "last", ["batch", hidden])
    return graph.model()
