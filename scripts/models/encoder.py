"""`encoder`: a small BERT-like transformer encoder with random weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from scripts.models.graph import Graph
from scripts.models.transformer import encoder_layer

TOKENS, VOCABULARY, WIDTH, HEADS, LAYERS = 64, 1024, 128, 4, 2


def build() -> onnx.ModelProto:
    """input_ids, attention_mask: INT64 [batch, 64]; the mask is 1 for a token, 0 for padding.

    Ids beyond the vocabulary of 1024 count as its last one, so that no request can read outside of it.
    last_hidden_state: FP32 [batch, 64, 128]. pooled: FP32 [batch, 128], the mean over the tokens.
    """
    graph = Graph("encoder", seed=23)
    ids = graph.input("input_ids", ["batch", TOKENS], TensorProto.INT64)
    mask = graph.input("attention_mask", ["batch", TOKENS], TensorProto.INT64)
    known = graph.op("Clip", ids, graph.constant(0, np.int64), graph.constant(VOCABULARY - 1, np.int64))
    words = graph.op("Gather", graph.random("word_embedding", (VOCABULARY, WIDTH), 1.0), known, axis=0)
    x = graph.op("Add", words, graph.random("position_embedding", (TOKENS, WIDTH), 1.0))
    x = graph.layer_norm(x, "embedding_norm", WIDTH)
    present = graph.op("Cast", graph.op("Cast", mask, to=TensorProto.BOOL), to=TensorProto.FLOAT)
    absent = graph.op("Sub", graph.constant(1.0), present)
    penalty = graph.op("Mul", absent, graph.constant(-10000.0))
    penalty = graph.op("Unsqueeze", penalty, graph.constant([1, 2], np.int64))
    for index in range(LAYERS):
        x = encoder_layer(graph, x, f"layer{index}", width=WIDTH, heads=HEADS, inner=4 * WIDTH, mask=penalty)
    x = graph.output(x, "last_hidden_state", ["batch", TOKENS, WIDTH])
    weights = graph.op("Unsqueeze", present, graph.constant([2], np.int64))
    axis = graph.constant([1], np.int64)
    total = graph.op("ReduceSum", graph.op("Mul", x, weights), axis, keepdims=0)
    count = graph.op("Max", graph.op("ReduceSum", weights, axis, keepdims=0), graph.constant(1.0))
    graph.output(graph.op("Div", total, count), "pooled", ["batch", WIDTH])
    return graph.model()
