"""What is joined is written in place, in whole artifacts, whose memory is planned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from converters.execute import LoadedArtifact
from tests.converters.models import FLOAT, model
from tests.converters.schedules.harness import node, random
from tests.converters.test_convert import converted


def kernels(artifact: LoadedArtifact) -> list[str]:
    return [step.kernel for step in artifact.manifest.variants[1].steps]


def branches(*, kept: bool) -> onnx.ModelProto:
    """Two joins, one inside the other, of convolutions; with `kept` a branch is also an output."""
    weights = {name: random(32, 32, 1, 1, seed=i) for i, name in enumerate("uvw")}
    nodes = [
        node("Conv", ["x", "u"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "v"], ["b"]),
        node("Concat", ["r", "b"], ["p"], axis=1),
        node("Slice", ["p", "begin", "end", "axis"], ["s"]),
        node("Conv", ["s", "w"], ["c"]),
        node("Concat", ["p", "c"], ["q"], axis=1),
        node("GlobalAveragePool", ["q"], ["g"]),
        node("Flatten", ["g"], ["y"]),
    ]
    shapes = {name: np.array([value]) for name, value in (("begin", 32), ("end", 64), ("axis", 1))}
    outputs = {"y": (FLOAT, None), **({"b": (FLOAT, None)} if kept else {})}
    return model(nodes, {"x": (FLOAT, ["N", 32, 5, 6])}, outputs, {**weights, **shapes})


def test_joined_channels_are_not_moved(tmp_path: Path) -> None:
    """The conversion compares with ONNX Runtime, at two batch sizes."""
    artifact = converted(branches(kept=False), tmp_path, max_batch_size=2)
    names = [name.split("_")[0] for name in kernels(artifact)]
    assert names == ["block", "convolution", "convolution", "convolution", "sum"]


def test_a_part_that_is_also_an_output(tmp_path: Path) -> None:
    converted(branches(kept=True), tmp_path, max_batch_size=2)


def test_a_tensor_joined_twice_and_an_input(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Concat", ["r", "x"], ["a"], axis=0),
        node("Concat", ["x", "r", "r"], ["b"], axis=0),
        node("ReduceSum", ["a"], ["y"], keepdims=0),
        node("ReduceSum", ["b"], ["z"], keepdims=0),
    ]
    proto = model(nodes, {"x": (FLOAT, [4, 16])}, {"y": (FLOAT, None), "z": (FLOAT, None)})
    artifact = converted(proto, tmp_path)
    x = random(4, 16)
    y, z = artifact.run(1, [x])
    positive = np.maximum(x, 0).sum()
    np.testing.assert_allclose([y, z], [positive + x.sum(), 2 * positive + x.sum()], rtol=1e-4)
