"""Whole conversions, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from clockwork_triton.artifact.cpu_features import host_features, missing
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.artifact.pages import device_page_bytes
from clockwork_triton.datatypes import TensorSpec
from converters.batch import batch_sizes_for
from converters.convert import convert
from converters.execute import LoadedArtifact
from converters.request import ConversionError, ConversionRequest, Progress
from tests.converters import models
from tests.converters.guarded import strays
from tests.converters.models import BOOL, FLOAT, INT64, STRING, UINT32, model, node, saved, weights


def converted(proto: onnx.ModelProto, tmp_path: Path, max_batch_size: int = 0, **more: Any) -> LoadedArtifact:
    """The model's artifact; `more` goes to the request."""
    path = saved(proto, tmp_path)
    directory = tmp_path / "artifact"
    directory.mkdir()
    request = ConversionRequest(path, "m", max_batch_size, batch_sizes_for(max_batch_size), **more)
    convert(request, directory, {"onnx": "hash"}, lambda _: None)
    return LoadedArtifact(directory)


def test_a_convnet_at_every_batch_size(tmp_path: Path) -> None:
    proto = models.small_convnet()
    artifact = converted(proto, tmp_path, max_batch_size=6)
    manifest = artifact.manifest
    assert manifest.batch_sizes == (1, 2, 4, 6)
    assert manifest.page_bytes == device_page_bytes("cpu:0")
    assert manifest.cpu_features, "every CPU that artifacts are made for has some"
    assert not missing(manifest.cpu_features, host_features())
    assert manifest.inputs == (TensorSpec("x", "float32", (3, 12, 12)),)
    assert manifest.outputs == (TensorSpec("probabilities", "float32", (10,)),)
    reference = ReferenceEvaluator(proto)
    for size in manifest.batch_sizes:
        x = np.random.default_rng(size).standard_normal((size, 3, 12, 12)).astype(np.float32)
        (expected,) = reference.run(None, {"x": x})
        np.testing.assert_allclose(artifact.run(size, [x])[0], expected, rtol=1e-4, atol=1e-6)


def test_what_this_cpu_cannot_run_is_checked_by_the_one_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converters.convert.host_features", lambda: frozenset({"fpu"}))
    manifest = converted(models.sum_and_difference(), tmp_path, max_batch_size=1).manifest
    assert manifest.origin["checked"] == "by the first device that runs it"
    found = Expectation.read(tmp_path / "artifact", manifest)
    assert found is not None
    np.testing.assert_array_equal(found.outputs[0], found.inputs[0] + found.inputs[1])


def test_weights_are_stored_once_for_all_batch_sizes(tmp_path: Path) -> None:
    single, several = tmp_path / "single", tmp_path / "several"
    single.mkdir()
    several.mkdir()
    alone = converted(models.small_convnet(), single, max_batch_size=1)
    artifact = converted(models.small_convnet(), several, max_batch_size=4)
    assert len(artifact.manifest.batch_sizes) == 3
    assert artifact.manifest.weight_bytes == alone.manifest.weight_bytes
    places = {
        frozenset((t.index, t.offset) for t in variant.tensors if t.space == "weight")
        for variant in artifact.manifest.variants.values()
    }
    assert len(places) == 1


def test_running_allocates_no_memory_in_kernels(tmp_path: Path) -> None:
    converted(models.small_convnet(), tmp_path, max_batch_size=2)
    assert b"TVMBackendAllocWorkspace" not in (tmp_path / "artifact/kernels.so").read_bytes()


def test_kernels_write_nothing_but_their_outputs(tmp_path: Path) -> None:
    """Odd sizes leave tails in every direction of a tile."""
    proto = model(
        [
            node("Conv", ["x", "w1"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["r"]),
            node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["p", "w2"], ["d"], kernel_shape=[3, 3], group=7),
            node("Transpose", ["d"], ["t"], perm=[0, 2, 3, 1]),
            node("MatMul", ["t", "w3"], ["m"]),
            node("Softmax", ["m"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 3, 13, 11])},
        {"y": (FLOAT, None)},
        {"w1": weights(7, 3, 3, 3), "w2": weights(7, 1, 3, 3), "w3": weights(7, 5)},
    )
    converted(proto, tmp_path, max_batch_size=2)
    assert list(strays(tmp_path / "artifact")) == []


def test_integers_and_several_outputs(tmp_path: Path) -> None:
    artifact = converted(models.sum_and_difference(), tmp_path, max_batch_size=2)
    a = np.arange(32, dtype=np.int32).reshape(2, 16)
    total, difference = artifact.run(2, [a, a * 3])
    np.testing.assert_array_equal(total, a * 4)
    np.testing.assert_array_equal(difference, a * -2)


def test_the_order_of_tensors_can_be_chosen(tmp_path: Path) -> None:
    artifact = converted(
        models.sum_and_difference(), tmp_path, 1, inputs=("INPUT1", "INPUT0"), outputs=("OUTPUT1",)
    )
    assert [tensor.name for tensor in artifact.manifest.inputs] == ["INPUT1", "INPUT0"]
    ones, twos = np.ones((1, 16), np.int32), np.full((1, 16), 2, np.int32)
    (difference,) = artifact.run(1, [ones, twos])
    np.testing.assert_array_equal(difference, ones)


def test_indices_stay_in_range_while_checking(tmp_path: Path) -> None:
    proto = models.embedding()
    artifact = converted(proto, tmp_path, max_batch_size=2)
    tokens = np.array([[0, 1, 2, 3, 6], [6, 5, 4, 0, 0]], np.int64)
    (expected,) = ReferenceEvaluator(proto).run(None, {"tokens": tokens})
    np.testing.assert_allclose(artifact.run(2, [tokens])[0], expected, rtol=1e-5)


def test_indices_out_of_range_reach_the_nearest_row(tmp_path: Path) -> None:
    """No client may read or write memory beyond a tensor."""
    proto = model(
        [
            node("Gather", ["table", "i"], ["rows"]),
            node("GatherND", ["table", "pair"], ["cell"]),
            node("ScatterElements", ["table", "i2", "updates"], ["written"], axis=0),
        ],
        {"i": (INT64, [3]), "pair": (INT64, [1, 2]), "i2": (INT64, [1, 2])},
        {"rows": (FLOAT, None), "cell": (FLOAT, None), "written": (FLOAT, None)},
        {"table": np.arange(6, dtype=np.float32).reshape(3, 2), "updates": np.float32([[70, 71]])},
    )
    artifact = converted(proto, tmp_path)
    far = 10**15
    indices = [np.array([far, -far, -1]), np.array([[-far, far]]), np.array([[far, -far]])]
    rows, cell, written = artifact.run(1, indices)
    np.testing.assert_array_equal(rows, [[4, 5], [0, 1], [4, 5]])
    np.testing.assert_array_equal(cell, [1])
    np.testing.assert_array_equal(written, [[0, 71], [2, 3], [70, 5]])


def test_no_integer_stops_a_worker(tmp_path: Path) -> None:
    """Division by zero, and the quotient that overflows, fault on x86; C leaves far shifts undefined."""
    proto = model(
        [
            node("Div", ["a", "b"], ["quotient"]),
            node("Mod", ["a", "b"], ["remainder"]),
            node("BitShift", ["u", "v"], ["left"], direction="LEFT"),
            node("BitShift", ["u", "v"], ["right"], direction="RIGHT"),
            node("Div", ["u", "v"], ["unsigned"]),
        ],
        {"a": (INT64, [4]), "b": (INT64, [4]), "u": (UINT32, [3]), "v": (UINT32, [3])},
        dict.fromkeys(("quotient", "remainder"), (INT64, None))
        | dict.fromkeys(("left", "right", "unsigned"), (UINT32, None)),
    )
    least = np.iinfo(np.int64).min
    a, b = np.array([7, least, -7, 9]), np.array([0, -1, 2, -1])
    u, v = np.array([6, 6, 6], np.uint32), np.array([1, 32, 0], np.uint32)
    quotient, remainder, left, right, unsigned = converted(proto, tmp_path).run(1, [a, b, u, v])
    np.testing.assert_array_equal(quotient, [7, least, -3, -9])
    np.testing.assert_array_equal(remainder, [0, 0, 1, 0])
    np.testing.assert_array_equal(left, [12, 0, 6])
    np.testing.assert_array_equal(right, [3, 0, 6])
    np.testing.assert_array_equal(unsigned, [6, 0, 6])


def test_infinities_of_one_sign(tmp_path: Path) -> None:
    proto = model(
        [
            node("IsInf", ["x"], ["positive"], detect_negative=0),
            node("IsInf", ["x"], ["negative"], detect_positive=0),
            node("IsInf", ["x"], ["either"]),
        ],
        {"x": (FLOAT, [3])},
        dict.fromkeys(("positive", "negative", "either"), (BOOL, None)),
    )
    positive, negative, either = converted(proto, tmp_path).run(1, [np.float32([np.inf, 1, -np.inf])])
    np.testing.assert_array_equal(positive, [True, False, False])
    np.testing.assert_array_equal(negative, [False, False, True])
    np.testing.assert_array_equal(either, [True, False, True])


def test_outputs_that_share_memory(tmp_path: Path) -> None:
    """An input, a weight, a value twice, its reshape, and a value that is used again, as outputs."""
    proto = model(
        [
            node("Identity", ["x"], ["same"]),
            node("Relu", ["x"], ["r"]),
            node("Identity", ["r"], ["again"]),
            node("Reshape", ["r", "flat"], ["reshaped"]),
            node("Reshape", ["x", "flat"], ["reshaped_input"]),
            node("Identity", ["w"], ["weight"]),
            node("Mul", ["r", "w"], ["product"]),
        ],
        {"x": (FLOAT, [2, 3])},
        dict.fromkeys(
            ("same", "r", "again", "reshaped", "reshaped_input", "weight", "product", "x"), (FLOAT, None)
        ),
        {"w": weights(3), "flat": np.array([6], np.int64)},
    )
    artifact = converted(proto, tmp_path)
    x = weights(2, 3, seed=1)
    expected = ReferenceEvaluator(proto).run(None, {"x": x})
    for want, have in zip(expected, artifact.run(1, [x]), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-6)


def test_reshapes_cost_nothing(tmp_path: Path) -> None:
    """Flatten, Squeeze, Unsqueeze and Reshape between two products are the same bytes, not copies."""
    proto = model(
        [
            node("MatMul", ["x", "w"], ["a"]),
            node("Unsqueeze", ["a", "axis"], ["b"]),
            node("Reshape", ["b", "shape"], ["c"]),
            node("Flatten", ["c"], ["d"]),
            node("MatMul", ["d", "w"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 8])},
        {"y": (FLOAT, ["N", 8])},
        {"w": weights(8, 8), "axis": np.array([1], np.int64), "shape": np.array([0, 2, 4], np.int64)},
    )
    artifact = converted(proto, tmp_path, max_batch_size=2)
    assert {len(variant.steps) for variant in artifact.manifest.variants.values()} == {2}


def test_shapes_computed_from_shapes_are_folded(tmp_path: Path) -> None:
    """x.reshape(x.shape[0], -1) as exporters write it."""
    proto = model(
        [
            node("Relu", ["x"], ["r"]),
            node("Shape", ["r"], ["s"]),
            node("Gather", ["s", "zero"], ["n"]),
            node("Unsqueeze", ["n", "axis"], ["n1"]),
            node("Concat", ["n1", "minus_one"], ["shape"], axis=0),
            node("Reshape", ["r", "shape"], ["f"]),
            node("MatMul", ["f", "w"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 3, 4])},
        {"y": (FLOAT, ["N", 5])},
        {
            "zero": np.array(0, np.int64),
            "axis": np.array([0], np.int64),
            "minus_one": np.array([-1], np.int64),
            "w": weights(12, 5),
        },
    )
    artifact = converted(proto, tmp_path, max_batch_size=2)
    assert len(artifact.manifest.variants[2].steps) == 2


def test_an_output_that_is_known_beforehand(tmp_path: Path) -> None:
    proto = model([node("Shape", ["x"], ["y"])], {"x": (FLOAT, [2, 3])}, {"y": (INT64, [2])})
    (y,) = converted(proto, tmp_path).run(1, [weights(2, 3)])
    np.testing.assert_array_equal(y, [2, 3])


def test_open_dimensions_are_fixed_by_the_configuration(tmp_path: Path) -> None:
    proto = model(
        [node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["N", "time", 4])}, {"y": (FLOAT, ["N", "time", 4])}
    )
    artifact = converted(proto, tmp_path, max_batch_size=1, shapes={"x": (6, 4)})
    assert artifact.manifest.outputs == (TensorSpec("y", "float32", (6, 4)),)


def test_booleans_scalars_and_half_precision(tmp_path: Path) -> None:
    proto = model(
        [
            node("Cast", ["x"], ["h"], to=onnx.TensorProto.FLOAT16),
            node("Mul", ["h", "h"], ["square"]),
            node("Where", ["keep", "square", "h"], ["y"]),
            node("ReduceSum", ["x"], ["total"], keepdims=0),
        ],
        {"x": (FLOAT, [4]), "keep": (BOOL, [4])},
        {"y": (onnx.TensorProto.FLOAT16, [4]), "total": (FLOAT, [])},
    )
    artifact = converted(proto, tmp_path)
    y, total = artifact.run(1, [np.float32([1, 2, 3, 4]), np.array([True, False, True, False])])
    np.testing.assert_array_equal(y, np.float16([1, 2, 9, 4]))
    assert total == 10.0


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        converted(models.small_convnet(), tmp_path / name, max_batch_size=2)
    first, second = tmp_path / "first/artifact", tmp_path / "second/artifact"
    for file in ("manifest.json", "kernels.so", "weights.bin"):
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_a_large_tensor_spans_pages_and_small_ones_share_them(tmp_path: Path) -> None:
    proto = model(
        [node("MatMul", ["x", "big"], ["a"]), node("Add", ["a", "small"], ["y"])],
        {"x": (FLOAT, ["N", 600])},
        {"y": (FLOAT, ["N", 600])},
        {"big": weights(600, 600), "small": weights(600, seed=1)},
    )
    artifact = converted(proto, tmp_path, max_batch_size=1)
    (segment,) = artifact.manifest.segments
    assert segment.pages == 2
    x = weights(1, 600, seed=2)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(artifact.run(1, [x])[0], expected, rtol=1e-3, atol=1e-3)


def test_progress_counts_up_to_its_total(tmp_path: Path) -> None:
    seen: list[Progress] = []
    path = saved(models.sum_and_difference(), tmp_path)
    (tmp_path / "artifact").mkdir()
    convert(ConversionRequest(path, "simple", 2, (1, 2)), tmp_path / "artifact", {}, seen.append)
    assert [progress.done for progress in seen] == list(range(len(seen)))
    assert {progress.total for progress in seen} == {len(seen) - 1}
    assert Manifest.read(tmp_path / "artifact").name == "simple"


REFUSALS = {
    "an open dimension": (
        model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["N", "time"])}, {"y": (FLOAT, None)}),
        1,
        r"dimension 1 \('time'\) of input 'x' is not fixed: give the whole shape in `dims` of input 'x'",
    ),
    "an operator that TVM lacks": (
        model([node("Det", ["x"], ["y"], name="d")], {"x": (FLOAT, [2, 2])}, {"y": (FLOAT, [])}),
        0,
        "the model uses operators that are not supported: Det",
    ),
    "an operator that TVM cannot compile": (
        model([node("Pow", ["x", "x"], ["y"])], {"x": (INT64, [2])}, {"y": (INT64, [2])}),
        0,
        "TVM cannot compile the model: .*power only applies to float",
    ),
    "a remainder of floats": (
        model([node("Mod", ["x", "x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])}),
        0,
        "operator Mod: floats need fmod=1",
    ),
    "strings": (
        model([node("StringNormalizer", ["x"], ["y"])], {"x": (STRING, [1])}, {"y": (STRING, [1])}),
        0,
        "'x' holds strings",
    ),
    "a shape that depends on data": (
        model([node("NonZero", ["x"], ["y"])], {"x": (FLOAT, [4])}, {"y": (INT64, [1, "n"])}),
        0,
        "NonZero.*depends on the values",
    ),
    "rows that mix": (models.softmax_over_batch(), 2, "mix the rows of a batch; set max_batch_size to 0"),
    "a fixed shape inside": (
        model(
            [node("Reshape", ["x", "shape"], ["y"])],
            {"x": (FLOAT, ["N", 2, 3])},
            {"y": (FLOAT, None)},
            {"shape": np.array([1, 6], np.int64)},
        ),
        2,
        "a batch of 2 is impossible, though smaller ones work.*set max_batch_size to 1 or 0",
    ),
    "an output without a batch": (
        model([node("ReduceSum", ["x"], ["y"], keepdims=0)], {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, [])}),
        1,
        r"output 'y' has shape \[\].*max_batch_size to 0",
    ),
    "a scalar that batches": (
        model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [])}, {"y": (FLOAT, [])}),
        4,
        "input 'x' is a scalar, which cannot batch: set max_batch_size to 0",
    ),
}


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.replace(" ", "-"))
def test_refusals_say_why(case: str, tmp_path: Path) -> None:
    proto, max_batch_size, message = REFUSALS[case]
    with pytest.raises(ConversionError, match=message):
        converted(proto, tmp_path, max_batch_size)
