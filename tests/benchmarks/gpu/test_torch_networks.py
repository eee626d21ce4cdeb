"""The networks in PyTorch, held against those that are converted: where there is PyTorch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import onnx
import pytest

torch: Any = pytest.importorskip("torch")
architectures = pytest.importorskip("benchmarks.architectures")


def _convolutions(network: onnx.ModelProto) -> Counter[tuple[int, ...]]:
    """How often each shape of weight occurs, with each stride."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in network.graph.initializer}
    found = []
    for node in network.graph.node:
        if node.op_type == "Conv":
            strides = next((tuple(a.ints) for a in node.attribute if a.name == "strides"), (1, 1))
            found.append((*shapes[node.input[1]], *strides))
    return Counter(found)


def test_resnet_50_is_the_one_that_is_converted() -> None:
    from benchmarks.gpu.torch_networks import ResNet50

    network = ResNet50()
    assert sum(parameter.numel() for parameter in network.parameters()) == 25_557_032
    modules = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    found = Counter((*module.weight.shape, *module.stride) for module in modules)
    assert found == _convolutions(architectures.build("resnet50"))
    with torch.inference_mode():
        answer = network.eval()(torch.randn(2, 3, 224, 224))
    assert answer.shape == (2, 1000)
    torch.testing.assert_close(answer.sum(1), torch.ones(2))


def test_both_berts_compute_the_same() -> None:
    from benchmarks.gpu.torch_networks import KINDS, TOKENS, VOCABULARY, Bert

    one, other = Bert(encoder=True).eval(), Bert(encoder=False).eval()
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (one, other)]
    weights = sum(
        onnx.numpy_helper.to_array(tensor).size
        for tensor in architectures.build("bert").graph.initializer
        if len(tensor.dims)
    )
    assert counts[0] == counts[1]
    # There, shapes and axes are tensors too.
    assert counts[0] <= weights < counts[0] + 100
    for name in ("words", "kinds", "positions", "norm", "pooler"):
        setattr(other, name, getattr(one, name))
    for layer, copy in zip(one.encoder.layers, other.layers, strict=True):
        copy.project.weight, copy.project.bias = layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias
        copy.merge, copy.up, copy.down = layer.self_attn.out_proj, layer.linear1, layer.linear2
        copy.norm1, copy.norm2 = layer.norm1, layer.norm2
    ids, mask, kinds = (torch.randint(0, limit, (2, TOKENS)) for limit in (VOCABULARY, 2, KINDS))
    mask[:, 0] = 1
    with torch.inference_mode():
        for have, want in zip(one(ids, mask, kinds), other(ids, mask, kinds), strict=True):
            torch.testing.assert_close(have, want)
            assert have.isfinite().all()
