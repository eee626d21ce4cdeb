"""Unrolled layers against the references, over the options that exporters use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from converters.prepare import prepare
from converters.recurrent import GATES
from converters.reference import Reference
from converters.request import ConversionError
from converters.source import read_source
from tests.converters.models import FLOAT, INT32, model, node, saved, weights
from tests.converters.test_prepare import run

STEPS, BATCH, FEATURES, HIDDEN = 4, 2, 3, 5


def layer(kind: str, directions: int = 1, inputs: int = 4, **options: Any) -> onnx.ModelProto:
    """A layer with the first `inputs` of its inputs; all but x are weights."""
    gates = GATES[kind] * HIDDEN
    batch_first = options.get("layout", 0)
    state = (BATCH, directions, HIDDEN) if batch_first else (directions, BATCH, HIDDEN)
    shapes = {
        "w": (directions, gates, FEATURES),
        "r": (directions, gates, HIDDEN),
        "b": (directions, 2 * gates),
        "": (),
        "h": state,
        "c": state,
    }
    names = list(shapes)[: inputs - 1]
    given = {name: weights(*shapes[name], seed=i) for i, name in enumerate(names) if name}
    outputs = ["y", "yh", "yc"][: 3 if kind == "LSTM" else 2]
    x = (BATCH, STEPS, FEATURES) if batch_first else (STEPS, BATCH, FEATURES)
    return model(
        [node(kind, ["x", *names], outputs, hidden_size=HIDDEN, **options)],
        {"x": (FLOAT, x)},
        dict.fromkeys(outputs, (FLOAT, None)),
        given,
    )


CASES = {
    **{
        f"{kind}-{direction}": layer(kind, direction=direction)
        for kind in GATES
        for direction in ("forward", "reverse")
    },
    **{f"{kind}-bare": layer(kind, inputs=3) for kind in GATES},
    **{f"{kind}-stateful": layer(kind, inputs=7 if kind == "LSTM" else 6) for kind in GATES},
    "GRU-linear": layer("GRU", linear_before_reset=1),
    "RNN-relu": layer("RNN", activations=["Relu"]),
}


@pytest.mark.parametrize("case", CASES)
def test_an_unrolled_layer_computes_the_same(case: str, tmp_path: Path) -> None:
    proto = CASES[case]
    source = read_source(saved(proto, tmp_path))
    x = weights(STEPS, BATCH, FEATURES, seed=9)
    result = prepare(source, {"x": x.shape}, [value.name for value in proto.graph.output])
    assert not GATES.keys() & {node.op_type for node in result.graph.node}
    reference = Reference(tmp_path / "model.onnx", [value.name for value in proto.graph.output])
    for want, have in zip(reference.run({"x": x}), run(result, x=x), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", GATES)
def test_both_directions_are_each_by_itself(kind: str, tmp_path: Path) -> None:
    """What a bidirectional layer gives, put together from two of one direction."""
    proto = layer(kind, directions=2, direction="bidirectional")
    x = weights(STEPS, BATCH, FEATURES, seed=9)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    expected = []
    for index, direction in enumerate(("forward", "reverse")):
        single = layer(kind, direction=direction)
        for tensor in single.graph.initializer:
            part = values[tensor.name][index : index + 1]
            tensor.CopyFrom(onnx.numpy_helper.from_array(part, tensor.name))
        expected.append(ReferenceEvaluator(single).run(None, {"x": x}))
    source = read_source(saved(proto, tmp_path))
    have = run(prepare(source, {"x": x.shape}, ["y", "yh"]), x=x)
    for axis, output in ((1, 0), (0, 1)):
        want = np.concatenate([single[output] for single in expected], axis)
        np.testing.assert_allclose(have[output], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", GATES)
def test_the_batch_may_come_first(kind: str, tmp_path: Path) -> None:
    x = weights(STEPS, BATCH, FEATURES, seed=9)
    want = ReferenceEvaluator(layer(kind)).run(None, {"x": x})
    proto = layer(kind, layout=1)
    source = read_source(saved(proto, tmp_path))
    y, yh = run(prepare(source, {"x": (BATCH, STEPS, FEATURES)}, ["y", "yh"]), x=x.transpose(1, 0, 2))
    np.testing.assert_allclose(y, want[0].transpose(2, 0, 1, 3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(yh, want[1].transpose(1, 0, 2), rtol=1e-4, atol=1e-5)


def with_lengths() -> onnx.ModelProto:
    proto = layer("LSTM", inputs=4)
    proto.graph.node[0].input.append("lengths")
    proto.graph.input.append(onnx.helper.make_tensor_value_info("lengths", INT32, [BATCH]))
    return proto


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (layer("LSTM", clip=1.0), r"operator LSTM \(''\): clip is not supported"),
        (layer("LSTM", input_forget=1), "input_forget is not supported"),
        (layer("RNN", activations=["HardSigmoid"]), "activation Hardsigmoid is not supported"),
        (with_lengths(), "sequences shorter than the input is not supported"),
    ],
)
def test_rare_options_are_refused(proto: onnx.ModelProto, message: str, tmp_path: Path) -> None:
    source = read_source(saved(proto, tmp_path))
    shapes = {"x": (STEPS, BATCH, FEATURES), "lengths": (BATCH,)}
    with pytest.raises(ConversionError, match=message):
        prepare(source, {value.name: shapes[value.name] for value in source.graph.input}, ["y"])
