"""Transformer encoder layers, as the shipped encoder and the networks of the benchmarks need them."""

from __future__ import annotations

from scripts.models.graph import Graph


def encoder_layer(
    graph: Graph,
    x: str,
    name: str,
    *,
    width: int,
    heads: int,
    inner: int,
    mask: str = "",
    pre_norm: bool = False,
) -> str:
    """Self-attention and a feed-forward block with residuals; x is [batch, tokens, width].

    `mask`: added to the scores, [batch, 1, 1, tokens]. Norms follow each block (BERT) or precede it (ViT).
    """
    read = graph.layer_norm(x, f"{name}_norm1", width) if pre_norm else x
    x = graph.op("Add", x, attention(graph, read, name, width=width, heads=heads, mask=mask))
    if not pre_norm:
        x = graph.layer_norm(x, f"{name}_norm1", width)
    read = graph.layer_norm(x, f"{name}_norm2", width) if pre_norm else x
    hidden = graph.gelu(graph.dense(read, f"{name}_up", (width, inner)))
    x = graph.op("Add", x, graph.dense(hidden, f"{name}_down", (inner, width)))
    return x if pre_norm else graph.layer_norm(x, f"{name}_norm2", width)


def attention(graph: Graph, x: str, name: str, *, width: int, heads: int, mask: str = "") -> str:
    """Multi-head self-attention of [batch, tokens, width]."""
    size = width // heads
    split = graph.constant([0, 0, heads, size], "int64")

    def project(part: str, order: list[int]) -> str:
        dense = graph.dense(x, f"{name}_{part}", (width, width))
        return graph.op("Transpose", graph.op("Reshape", dense, split), perm=order)

    query, key = project("query", [0, 2, 1, 3]), project("key", [0, 2, 3, 1])
    value = project("value", [0, 2, 1, 3])
    scores = graph.op("Mul", graph.op("MatMul", query, key), graph.constant(size**-0.5))
    if mask:
        scores = graph.op("Add", scores, mask)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    joined = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
    merged = graph.op("Reshape", joined, graph.constant([0, 0, width], "int64"))
    return graph.dense(merged, f"{name}_merge", (width, width))
